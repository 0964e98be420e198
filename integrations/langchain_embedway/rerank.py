"""The reranker of LangChain: a document compressor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self, TypedDict

from langchain_core.callbacks import Callbacks
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import ConfigDict, Field, PrivateAttr, model_validator

from embedway_client import environment
from langchain_embedway.option import APIKey, BaseURL, understood
from langchain_embedway.sharing import AsyncHTTPClient, HTTPClient, OnUsage, Shares

if TYPE_CHECKING:
    from embedway_client import Client, RerankResult
    from embedway_client.deployment import EngineName, Invoke, PlatformName

__all__ = ["EmbedwayRerank", "Ranked"]

_OWN = -1


class Ranked(TypedDict):
    """One document's place: its number in what was given; a higher score is more relevant."""

    index: int
    relevance_score: float


class EmbedwayRerank(Shares, BaseDocumentCompressor):
    """
    Puts documents into the order of their relevance to a query, and keeps the best `top_n`.

        EmbedwayRerank(model="reranker")  # the gateway on this machine
        EmbedwayRerank(model="cross-encoder/ms-marco-MiniLM-L6-v2", base_url="local")  # offline
        EmbedwayRerank.direct(model="reranker", url="https://…/ocid1…", credentials=signer)

    Scores of different models, and of different engines, are not comparable. Raises `TypeError`
    and `ValueError` for what cannot be ranked, such as an empty text, and an
    `embedway_upstream.EmbeddingError` for what goes wrong on the way.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    model: str
    """As the server names it; with `base_url="local"`, a name on the hub or a folder."""
    base_url: BaseURL = Field(default_factory=environment.base_url)
    """Where `/rerank` is; "local" for this process. By default `EMBEDWAY_BASE_URL`."""
    api_key: APIKey = Field(default=None, validate_default=True)
    """By default `EMBEDWAY_API_KEY`."""
    top_n: int | None = Field(default=3, ge=1)
    """How many documents are kept; None keeps all."""
    batch_size: int = 256
    """Documents in one request; more are sent in several."""
    timeout: float = 60.0
    """Seconds for one attempt."""
    max_retries: int = 2
    """Further attempts after connection failures, timeouts, 429 and 5xx."""
    default_headers: Mapping[str, str] = Field(default_factory=dict, exclude=True, repr=False)
    """Sent with every request."""
    insecure: bool = False
    """Send the API key over plain http beyond this machine."""
    max_concurrency: int = 4
    """Requests of one async call at once."""

    _client: Client = PrivateAttr()

    @classmethod
    def from_env(cls) -> Self:
        """
        One that is told by the environment: `EMBEDWAY_RERANK_MODEL`, and every other keyword that
        can be written as a text, as `EMBEDWAY_TOP_N` is for `top_n`.
        """
        names = (name for name in cls.in_words() if name != "model")
        told = environment.keywords("rerank_model", *names)
        model = told.pop("rerank_model", None)
        if model is None:
            raise ValueError("EMBEDWAY_RERANK_MODEL is not set; it names the model that reranks")
        return cls.model_validate({**told, "model": model})

    @classmethod
    def direct(
        cls,
        *,
        model: str,
        url: str,
        engine: EngineName = "tei",
        credentials: object = None,
        platform: PlatformName | None = None,
        invoke: Invoke = "predict",
        resource_group: str = "default",
        path: str | None = None,
        served_model: str | None = None,
        top_n: int | None = 3,
        batch_size: int = 256,
        timeout: float = 60.0,
        max_retries: int = 2,
        insecure: bool = False,
        http_client: HTTPClient | None = None,
        http_async_client: AsyncHTTPClient | None = None,
        max_concurrency: int = 4,
        on_usage: OnUsage | None = None,
    ) -> Self:
        """
        One that signs and calls a deployment itself, with no gateway.

        `engine`: "tei", "ovms", "infinity" or "vllm". The others: see `EmbedwayEmbeddings.direct`,
        which raises the same. Does no I/O.
        """
        from embedway_client import Client

        both: dict[str, Any] = {
            "batch_size": batch_size,
            "timeout": timeout,
            "max_retries": max_retries,
            "insecure": insecure,
            "http_client": http_client,
            "http_async_client": http_async_client,
            "max_concurrency": max_concurrency,
            "on_usage": on_usage,
        }
        client = Client.direct(
            model=model,
            url=url,
            engine=engine,
            credentials=credentials,
            platform=platform,
            invoke=invoke,
            resource_group=resource_group,
            path=path,
            served_model=served_model,
            **both,
        )
        if client.deployment is not None:
            client.deployment.rerank_endpoint(model)
        if top_n is not None and top_n < 1:
            raise ValueError(f"top_n={top_n}: 1 or more are possible, and None for all")
        # Not validated: that would connect to a gateway. Every value was checked.
        made = cls.model_construct(
            model=model,
            base_url=url,
            api_key=None,
            top_n=top_n,
            **both,
        )
        return cls._over(made, client)

    def _over(self, client: Client) -> Self:
        self._client = client
        return self

    def rerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = _OWN
    ) -> list[Ranked]:
        """Number and score of the best, the most relevant first; `top_n` is by default its own."""
        return _ranked(self._client.rerank(query, _texts(documents), top_n=self._most(top_n)))

    async def arerank(
        self, documents: Sequence[str | Document], query: str, *, top_n: int | None = _OWN
    ) -> list[Ranked]:
        """Like `rerank`, without blocking the event loop."""
        most = self._most(top_n)
        return _ranked(await self._client.arerank(query, _texts(documents), top_n=most))

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Copies of the best, the most relevant first; `relevance_score` is in their metadata."""
        return _scored(documents, self.rerank(documents, query))

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Like `compress_documents`, without blocking the event loop."""
        return _scored(documents, await self.arerank(documents, query))

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """A copy; with `update`, one that is validated and connects anew (not one of `direct`)."""
        if not update:
            return super().model_copy(deep=deep)
        if self._client.deployment is not None:
            raise TypeError("what direct() made is not changed in copying; call direct() again")
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **self._understood(update)})

    def _most(self, top_n: int | None) -> int | None:
        return self.top_n if top_n == _OWN else top_n

    @classmethod
    def _understood(cls, given: Mapping[str, object]) -> dict[str, object]:
        return understood(given, known=cls.model_fields, owner=cls.__name__)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, given: object) -> object:
        return cls._understood(given) if isinstance(given, Mapping) else given

    @model_validator(mode="after")
    def _connect(self) -> Self:
        # Here, not above: it needs numpy, and importing this module must stay cheap.
        from embedway_client import Client

        self._client = Client(
            self.model,
            base_url=self.base_url,
            api_key=None if self.api_key is None else self.api_key.get_secret_value(),
            batch_size=self.batch_size,
            timeout=self.timeout,
            max_retries=self.max_retries,
            headers=self.default_headers,
            http_client=self.http_client,
            http_async_client=self.http_async_client,
            insecure=self.insecure,
            max_concurrency=self.max_concurrency,
            on_usage=self.on_usage,
        )
        return self


def _texts(documents: Sequence[str | Document]) -> list[str]:
    if isinstance(documents, str | bytes):
        raise TypeError("documents is one string; give a list")
    return [one.page_content if isinstance(one, Document) else one for one in documents]


def _ranked(results: Sequence[RerankResult]) -> list[Ranked]:
    return [{"index": one.index, "relevance_score": one.relevance_score} for one in results]


def _scored(documents: Sequence[Document], ranked: Sequence[Ranked]) -> list[Document]:
    """Copies, so that what a store or a cache still holds does not change."""
    return [
        documents[one["index"]].model_copy(
            update={
                "metadata": {
                    **deepcopy(documents[one["index"]].metadata),
                    "relevance_score": one["relevance_score"],
                }
            }
        )
        for one in ranked
    ]
