"""The embedding class of LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager
from llama_index.core.rate_limiter import BaseRateLimiter
from llama_index.core.storage.kvstore.types import BaseKVStore
from pydantic import Field, PrivateAttr, SecretStr

from embedway_client import Client, environment

__all__ = ["EmbedwayEmbedding"]


class EmbedwayEmbedding(BaseEmbedding):
    """
    Embeds through an Embedway gateway, any server with OpenAI's contract, or in this process.

        EmbedwayEmbedding("minilm")  # the gateway on this machine
        EmbedwayEmbedding("minilm", base_url="https://…/v1", fallback="local")
        EmbedwayEmbedding("minilm", base_url="local")  # offline

    Texts and queries are told apart, so that a model's prompts are put before them. The
    embedding methods raise `TypeError` and `ValueError` for what is not text, and an
    `embedway_upstream.EmbeddingError` for what goes wrong on the way.

    `batch_size` and the framework's `embed_batch_size` are one setting. What `to_dict` gives has
    neither the API key nor the headers, which may hold secrets; `from_dict` takes the key from
    the environment.
    """

    model_name: str = Field(frozen=True)
    base_url: str = Field(frozen=True)
    api_key: SecretStr | None = Field(frozen=True, exclude=True, repr=False)
    dimensions: int | None = Field(frozen=True)
    timeout: float = Field(frozen=True)
    max_retries: int = Field(frozen=True)
    fallback: Literal["local"] | None = Field(frozen=True)
    vector_space: str | None = Field(frozen=True)
    default_headers: Mapping[str, str] = Field(frozen=True, exclude=True, repr=False)
    insecure: bool = Field(frozen=True)

    _client: Client = PrivateAttr()

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        dimensions: int | None = None,
        batch_size: int = 256,
        timeout: float = 60.0,
        max_retries: int = 2,
        fallback: Literal["local"] | None = None,
        vector_space: str | None = None,
        default_headers: Mapping[str, str] | None = None,
        insecure: bool = False,
        model_name: str | None = None,
        embed_batch_size: int | None = None,
        num_workers: int | None = 4,
        callback_manager: CallbackManager | None = None,
        embeddings_cache: BaseKVStore | None = None,
        rate_limiter: BaseRateLimiter | None = None,
    ) -> None:
        # `model_name` is what the framework calls it when it restores what `to_dict` gave.
        name = model or model_name or ""
        size = embed_batch_size or batch_size
        key = api_key.get_secret_value() if isinstance(api_key, SecretStr) else api_key
        key = key or environment.api_key()
        client = Client(
            name,
            base_url=base_url,
            api_key=key,
            dimensions=dimensions,
            batch_size=size,
            timeout=timeout,
            max_retries=max_retries,
            fallback=fallback,
            vector_space=vector_space,
            headers=default_headers,
            insecure=insecure,
        )
        fields = {
            "base_url": base_url or environment.base_url(),
            "api_key": None if key is None else SecretStr(key),
            "dimensions": dimensions,
            "timeout": timeout,
            "max_retries": max_retries,
            "fallback": fallback,
            "vector_space": vector_space,
            "default_headers": dict(default_headers or {}),
            "insecure": insecure,
        }
        super().__init__(
            model_name=name,
            embed_batch_size=size,
            num_workers=num_workers,
            callback_manager=callback_manager or CallbackManager([]),
            embeddings_cache=embeddings_cache,
            rate_limiter=rate_limiter,
            **fields,
        )
        self._client = client

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """A copy; with `update`, one that is checked and connects anew."""
        if not update:
            return super().model_copy(deep=deep)
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**fields, **update})

    @classmethod
    def class_name(cls) -> str:
        """The name under which the framework stores this class."""
        return "EmbedwayEmbedding"

    @property
    def model(self) -> str:
        """The model's name; the framework calls it `model_name`."""
        return self.model_name

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self._client.embed([query], input_type="query")[0].tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        vectors = await self._client.aembed([query], input_type="query")
        vector: list[float] = vectors[0].tolist()
        return vector

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return (await self._aget_text_embeddings([text]))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self._client.embed(texts).tolist()
        return vectors

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = (await self._client.aembed(texts)).tolist()
        return vectors
