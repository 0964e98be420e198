"""The provider that LiteLLM calls for models named `embedway/…`."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

import httpx
from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import EmbeddingResponse, Usage

from litellm_embedway.failure import refused, translated
from litellm_embedway.option import Call, read
from litellm_embedway.owner import require_owner
from litellm_embedway.pool import Pool
from litellm_embedway.registration import announce, require_announced

if TYPE_CHECKING:
    from embedway_client import EmbeddingResult

__all__ = ["EmbedwayLLM", "embedway", "register"]


class EmbedwayLLM(CustomLLM):
    """
    Embeds for `litellm.embedding(model="embedway/<name>")`, its async twin, Router and proxy.

    Connections last from call to call, and so does the vector space first seen of a model at an
    address, whatever else a call says. May be used from several threads and event
    loops. Trying again is LiteLLM's, unless `max_retries` is given.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pool = Pool()

    def embedding(  # type: ignore[override]
        self,
        model: str,
        input: object,  # noqa: A002 - LiteLLM's name
        *,
        optional_params: Mapping[str, object],
        api_key: str | None = None,
        api_base: str | None = None,
        timeout: float | httpx.Timeout | None = None,
        litellm_params: Mapping[str, object] | None = None,
        **_others: object,
    ) -> EmbeddingResponse:
        """Raises LiteLLM's errors."""
        try:
            call = _call(model, optional_params, api_base, api_key, timeout, litellm_params)
            texts = _texts(input)
            with self._pool.client(call.setup) as client:
                result = client.encode(texts, input_type=call.input_type)
            return _response(model, self._pool.seen(call.setup, result), call)
        except Exception as error:  # noqa: BLE001 - what is not ours is raised as it is
            raise translated(error, model) from None

    async def aembedding(  # type: ignore[override]
        self,
        model: str,
        input: object,  # noqa: A002 - LiteLLM's name
        *,
        optional_params: Mapping[str, object],
        api_key: str | None = None,
        api_base: str | None = None,
        timeout: float | httpx.Timeout | None = None,  # noqa: ASYNC109
        litellm_params: Mapping[str, object] | None = None,
        **_others: object,
    ) -> EmbeddingResponse:
        """Like `embedding`, without blocking the event loop."""
        try:
            call = _call(model, optional_params, api_base, api_key, timeout, litellm_params)
            texts = _texts(input)
            async with self._pool.aclient(call.setup) as client:
                result = await client.aencode(texts, input_type=call.input_type)
            return _response(model, self._pool.seen(call.setup, result), call)
        except Exception as error:  # noqa: BLE001 - what is not ours is raised as it is
            raise translated(error, model) from None

    def accept_vector_space(self, model: str, fingerprint: str | None = None) -> None:
        """Go on in another vector space (by default the next answer's) with this model's name."""
        self._pool.accept(model, fingerprint)

    def completion(self, *_args: object, model: str = "", **_named: object) -> NoReturn:
        """Refused, as all that is not an embedding."""
        raise refused(model)

    def streaming(self, *_args: object, model: str = "", **_named: object) -> NoReturn:
        """Refused."""
        raise refused(model)

    async def acompletion(self, *_args: object, model: str = "", **_named: object) -> NoReturn:
        """Refused."""
        raise refused(model)

    def astreaming(self, *_args: object, model: str = "", **_named: object) -> NoReturn:
        """Refused at once: LiteLLM calls it for an iterator, and does not await it."""
        raise refused(model)


embedway = EmbedwayLLM()


def register() -> None:
    """Make `embedway/…` known to LiteLLM in this process; a second call changes nothing."""
    announce(embedway)


def _call(  # noqa: PLR0917
    model: str,
    options: Mapping[str, object],
    api_base: str | None,
    api_key: str | None,
    timeout: float | httpx.Timeout | None,
    litellm_params: Mapping[str, object] | None,
) -> Call:
    require_announced(options)
    require_owner(options, api_base, litellm_params)
    seconds = timeout.read if isinstance(timeout, httpx.Timeout) else timeout
    retries = (litellm_params or {}).get("max_retries")
    if retries is not None and not isinstance(retries, int):
        raise ValueError("max_retries must be a whole number")
    return read(
        model,
        options,
        api_base=api_base,
        api_key=api_key,
        timeout=60.0 if seconds is None else float(seconds),
        # LiteLLM tries again itself (num_retries): both together would multiply.
        max_retries=retries or 0,
    )


def _texts(given: object) -> list[str]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise ValueError("input must be a text, or a list of at least one")
    if any(not isinstance(text, str) for text in texts):
        raise ValueError(
            "input must be texts: token ids belong to one model's tokenizer; send the texts "
            "(LangChain's OpenAIEmbeddings: check_embedding_ctx_length=False)"
        )
    return texts


def _response(model: str, result: EmbeddingResult, call: Call) -> EmbeddingResponse:
    rows = result.vectors.astype("<f4", copy=False)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(row.tobytes()).decode() if call.base64 else row.tolist(),
        }
        for index, row in enumerate(rows)
    ]
    usage = Usage(prompt_tokens=result.usage.prompt_tokens, total_tokens=result.usage.total_tokens)
    response = EmbeddingResponse(model=model, data=data, usage=usage)
    if result.vector_space is not None:
        told = {"x-embedway-vector-space": result.vector_space}
        response._hidden_params = {"additional_headers": told}  # noqa: SLF001 - its only place
    return response
