"""The provider that LiteLLM calls for models named `embedway/…`."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import httpx
import litellm
from litellm.constants import openai_compatible_providers
from litellm.llms.custom_llm import CustomLLM
from litellm.types.utils import EmbeddingResponse, Usage
from litellm.utils import custom_llm_setup

from litellm_embedway.failure import translated
from litellm_embedway.option import Call, Setup, read

if TYPE_CHECKING:
    from embedway_client import Client, EmbeddingResult

__all__ = ["EmbedwayLLM", "embedway", "register"]

_MOST_CLIENTS = 64


class EmbedwayLLM(CustomLLM):
    """
    Embeds for `litellm.embedding(model="embedway/<name>")`, its async twin, Router and proxy.

    One client for each distinct set of settings, of which the 64 used last are kept, so that
    connections and the vector space first seen last from call to call. May be used from several
    threads and event loops. Trying again is LiteLLM's, unless `max_retries` is given.
    """

    def __init__(self) -> None:
        super().__init__()
        self._clients: OrderedDict[Setup, Client] = OrderedDict()
        self._lock = threading.Lock()

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
            client, texts = self._client(call.setup), _texts(input)
            return _response(model, client.encode(texts, input_type=call.input_type), call)
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
            client, texts = self._client(call.setup), _texts(input)
            return _response(model, await client.aencode(texts, input_type=call.input_type), call)
        except Exception as error:  # noqa: BLE001 - what is not ours is raised as it is
            raise translated(error, model) from None

    def accept_vector_space(self, model: str, fingerprint: str | None = None) -> None:
        """Go on in another vector space (by default the next answer's) with this model's name."""
        with self._lock:
            clients = [made for setup, made in self._clients.items() if setup.model == model]
        for client in clients:
            client.accept_vector_space(fingerprint)

    def _client(self, setup: Setup) -> Client:
        with self._lock:
            client = self._clients.get(setup)
            if client is None:
                client = self._clients[setup] = setup.client()
            self._clients.move_to_end(setup)
            # Not closed: a call may still be under way in it.
            while len(self._clients) > _MOST_CLIENTS:
                self._clients.popitem(last=False)
            return client


embedway = EmbedwayLLM()


def register() -> None:
    """Make `embedway/…` known to LiteLLM in this process; a second call changes nothing."""
    if all(item["provider"] != "embedway" for item in litellm.custom_provider_map):
        litellm.custom_provider_map.append({"provider": "embedway", "custom_handler": embedway})
    # Else it refuses `dimensions`, `encoding_format` and `user` before it asks us, or drops them.
    if "embedway" not in openai_compatible_providers:
        openai_compatible_providers.append("embedway")
    # Now, because it takes the map into its list of providers only when a call begins.
    custom_llm_setup()  # type: ignore[no-untyped-call]


def _call(  # noqa: PLR0917
    model: str,
    options: Mapping[str, object],
    api_base: str | None,
    api_key: str | None,
    timeout: float | httpx.Timeout | None,
    litellm_params: Mapping[str, object] | None,
) -> Call:
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
