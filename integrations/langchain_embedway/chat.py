"""Makes LangChain's own chat class for a gateway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import SecretStr

from embedway_client import environment

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI

__all__ = ["chat_model"]

# The client insists on a key; a gateway without keys does not look at it.
_NO_KEY = "unused"


def chat_model(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | SecretStr | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    timeout: float = 60.0,
    max_retries: int = 2,
    default_headers: Mapping[str, str] | None = None,
    insecure: bool = False,
    options: Mapping[str, object] | None = None,
) -> ChatOpenAI:
    """
    A `ChatOpenAI` that asks a gateway, under the same rules as `EmbedwayEmbeddings`.

        chat_model("llama").invoke("Where does the Danube end?").text

    `base_url` and `api_key`: by default `EMBEDWAY_BASE_URL`, else the gateway on this machine, and
    `EMBEDWAY_API_KEY`; `OPENAI_API_KEY` is never sent there. `insecure`: send the key, or headers
    that hold secrets, over plain http beyond this machine. `options`: further keywords of
    `ChatOpenAI`, which win over these.

    Raises `ImportError` without langchain-openai, `ValueError` for settings that cannot work.
    """
    # Here, not above: it brings numpy.
    from embedway_client.address import LOCAL, require_private, root

    told = base_url or environment.base_url()
    if told == LOCAL:
        raise ValueError('base_url="local": no chat model runs in this process; name a gateway')
    secret = api_key if isinstance(api_key, SecretStr) else SecretStr(api_key or "")
    key = secret.get_secret_value() or environment.api_key()
    made: dict[str, object] = {
        "model": model,
        "base_url": root(told),
        "api_key": SecretStr(key or _NO_KEY),
        "temperature": temperature,
        "max_tokens": max_tokens,
        "timeout": timeout,
        "max_retries": max_retries,
        "default_headers": dict(default_headers or {}),
        # Else chosen by the model's name and by some options; a gateway does not have it.
        "use_responses_api": False,
        **(options or {}),
    }
    if not insecure and _is_secret(made):
        require_private(str(made["base_url"]))
    return _chat_class().model_validate(made)


def _is_secret(made: Mapping[str, object]) -> bool:
    """Whether a key is sent, or a header that holds one; the options may have either."""
    from embedway_client.address import SECRET_HEADERS

    headers = made["default_headers"]
    names = {str(name).lower() for name in headers} if isinstance(headers, Mapping) else set()
    return made["api_key"] != SecretStr(_NO_KEY) or not SECRET_HEADERS.isdisjoint(names)


def _chat_class() -> type[ChatOpenAI]:
    try:
        from langchain_openai import ChatOpenAI
    except ModuleNotFoundError as error:
        raise ImportError(
            f"{error.name} is missing; for chat models: pip install langchain-openai",
            name=error.name,
        ) from error
    return ChatOpenAI
