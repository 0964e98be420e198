"""The reranker of LlamaIndex: a node postprocessor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Self, Unpack

from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher
from pydantic import ConfigDict, Field, SecretStr

from embedway_client import Client, RerankResult, environment
from llama_index.embeddings.embedway.option import Aliases, understood
from llama_index.embeddings.embedway.travel import Travels

if TYPE_CHECKING:
    import httpx

    from embedway_client.deployment import EngineName, Invoke, PlatformName
    from embedway_client.usage import OnUsage

__all__ = ["EmbedwayRerank"]

_dispatcher = get_dispatcher(__name__)


class EmbedwayRerank(Travels, BaseNodePostprocessor):
    """
    Puts nodes into the order of their relevance to the query, and keeps the best `top_n`.

        EmbedwayRerank("reranker")  # the gateway on this machine
        EmbedwayRerank("cross-encoder/ms-marco-MiniLM-L6-v2", base_url="local")  # offline
        EmbedwayRerank.direct(model="reranker", url="https://…/ocid1…", credentials=signer)

    The nodes that are given, and their scores, stay as they are. What is judged is a node's text
    with the metadata that are for embedding. Scores of different models, and of different engines,
    are not comparable. Raises `TypeError` and `ValueError` for what cannot be ranked, such as an
    empty text, and an `embedway_upstream.EmbeddingError` for what goes wrong on the way.

    Names that other classes have for the keywords are understood too. What `to_dict` gives has
    neither the API key nor the headers, which may hold secrets.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    model: str = Field(default="", frozen=True)
    """As the server names it; with `base_url="local"`, a name on the hub or a folder."""
    base_url: str = Field(default_factory=environment.base_url, frozen=True)
    """Where `/rerank` is; "local" for this process. By default `EMBEDWAY_BASE_URL`."""
    api_key: SecretStr | None = Field(default=None, frozen=True, exclude=True, repr=False)
    """By default `EMBEDWAY_API_KEY`."""
    top_n: int | None = Field(default=3, ge=1)
    """How many nodes are kept; None keeps all."""
    keep_retrieval_score: bool = False
    """Put the score that a node came with into its metadata, as `retrieval_score`, in a copy."""
    batch_size: int = Field(default=256, frozen=True)
    """Nodes in one request; more are sent in several."""
    timeout: float = Field(default=60.0, frozen=True)
    """Seconds for one attempt."""
    max_retries: int = Field(default=2, frozen=True)
    """Further attempts after connection failures, timeouts, 429 and 5xx."""
    default_headers: Mapping[str, str] = Field(
        default_factory=dict, frozen=True, exclude=True, repr=False
    )
    """Sent with every request."""
    insecure: bool = Field(default=False, frozen=True)
    """Send the API key over plain http beyond this machine."""
    max_concurrency: int = Field(default=4, frozen=True)
    """Requests of one async call at once."""
    on_usage: Any = Field(default=None, frozen=True, exclude=True, repr=False)
    """Called with an `embedway_client.UsageEvent` after every call that succeeded."""
    http_client: Any = Field(default=None, frozen=True, exclude=True, repr=False)
    """An `httpx.Client` to use instead of one of ours; never closed here."""
    http_async_client: Any = Field(default=None, frozen=True, exclude=True, repr=False)
    """The same for async calls."""

    def __init__(
        self,
        model: str | None = None,
        *,
        base_url: str | None = None,
        api_key: str | SecretStr | None = None,
        top_n: int | None = 3,
        keep_retrieval_score: bool = False,
        batch_size: int = 256,
        timeout: float = 60.0,
        max_retries: int = 2,
        default_headers: Mapping[str, str] | None = None,
        insecure: bool = False,
        max_concurrency: int = 4,
        on_usage: OnUsage | None = None,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        callback_manager: CallbackManager | None = None,
        **others: Unpack[Aliases],
    ) -> None:
        own = {
            "model": model,
            "base_url": base_url,
            "api_key": api_key,
            "keep_retrieval_score": keep_retrieval_score,
            "batch_size": batch_size,
            "timeout": timeout,
            "max_retries": max_retries,
            "default_headers": default_headers,
            "insecure": insecure,
            "max_concurrency": max_concurrency,
            "on_usage": on_usage,
            "http_client": http_client,
            "http_async_client": http_async_client,
            "callback_manager": callback_manager,
        }
        given = understood(own, others, known=type(self).model_fields, owner=type(self).__name__)
        # Of `top_n`, None is a value too.
        super().__init__(**{"api_key": environment.api_key(), "top_n": top_n, **given})
        self._use(self._connected())

    def _connected(self) -> Client:
        key = self.api_key
        return Client(
            self.model,
            base_url=self.base_url,
            api_key=None if key is None else key.get_secret_value(),
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

    @classmethod
    def from_env(cls) -> Self:
        """
        One that is told by the environment: `EMBEDWAY_RERANK_MODEL`, and every other keyword that
        can be written as a text, as `EMBEDWAY_TOP_N` is for `top_n`.
        """
        fields = {name for name, item in cls.model_fields.items() if not item.exclude} - {"model"}
        told = environment.keywords("rerank_model", *fields)
        if "rerank_model" not in told:
            raise ValueError("EMBEDWAY_RERANK_MODEL is not set; it names the model that reranks")
        # The framework's validation makes numbers of them.
        return cls(told.pop("rerank_model"), **told)  # type: ignore[arg-type]

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
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        max_concurrency: int = 4,
        on_usage: OnUsage | None = None,
    ) -> Self:
        """
        One that signs and calls a deployment itself, with no gateway.

        `engine`: "tei", "ovms", "infinity" or "vllm". The others: see `EmbedwayEmbedding.direct`,
        which raises the same. Does no I/O.
        """
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
            batch_size=batch_size,
            timeout=timeout,
            max_retries=max_retries,
            insecure=insecure,
            http_client=http_client,
            http_async_client=http_async_client,
            max_concurrency=max_concurrency,
            on_usage=on_usage,
        )
        if client.deployment is not None:
            client.deployment.rerank_endpoint(model)
        return cls._over(
            client,
            model=model,
            base_url=url,
            top_n=top_n,
            batch_size=batch_size,
            timeout=timeout,
            max_retries=max_retries,
            insecure=insecure,
            http_client=http_client,
            http_async_client=http_async_client,
            max_concurrency=max_concurrency,
            on_usage=on_usage,
        )

    @classmethod
    def class_name(cls) -> str:
        """The name under which the framework stores this class."""
        return "EmbedwayRerank"

    @classmethod
    def from_dict(cls, data: dict[str, Any], **more: Any) -> Self:
        """What `to_dict` was called on; give the `credentials=` of what `direct` had made."""
        if "direct" not in data:
            return super().from_dict(data, **more)
        kept = ("model", "top_n", "batch_size", "timeout", "max_retries", "max_concurrency")
        # What a reranker's deployment was never asked for.
        told = {
            name: value
            for name, value in data["direct"].items()
            if name not in {"pooling", "query_prompt", "document_prompt"}
        }
        made = cls.direct(**{**{name: data[name] for name in kept}, **told, **more})
        made.keep_retrieval_score = data["keep_retrieval_score"]
        return made

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._events(nodes, query_bundle) as (query, best):
            if nodes:
                results = self._client.rerank(query, _texts(nodes), top_n=self.top_n)
                best.extend(self._scored(nodes, results))
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        with self._events(nodes, query_bundle) as (query, best):
            if nodes:
                results = await self._client.arerank(query, _texts(nodes), top_n=self.top_n)
                best.extend(self._scored(nodes, results))
        return best

    @contextmanager
    def _events(
        self, nodes: list[NodeWithScore], bundle: QueryBundle | None
    ) -> Iterator[tuple[str, list[NodeWithScore]]]:
        """The query, and a list to be filled with the best."""
        if bundle is None:
            raise ValueError("a reranker needs the query: give query_bundle= or query_str=")
        most = len(nodes) if self.top_n is None else self.top_n
        _dispatcher.event(
            ReRankStartEvent(query=bundle, nodes=nodes, top_n=most, model_name=self.model)
        )
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: self.model,
            EventPayload.QUERY_STR: bundle.query_str,
            EventPayload.TOP_K: most,
        }
        best: list[NodeWithScore] = []
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield bundle.query_str, best
            event.on_end(payload={EventPayload.NODES: best})
        _dispatcher.event(ReRankEndEvent(nodes=best))

    def _scored(
        self, nodes: list[NodeWithScore], results: Sequence[RerankResult]
    ) -> list[NodeWithScore]:
        return [self._one(nodes[one.index], one.relevance_score) for one in results]

    def _one(self, given: NodeWithScore, score: float) -> NodeWithScore:
        node = given.node
        if self.keep_retrieval_score:
            # A copy: the node itself may be the index's.
            node = deepcopy(node)
            node.metadata["retrieval_score"] = given.score
        return NodeWithScore(node=node, score=score)


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [one.node.get_content(metadata_mode=MetadataMode.EMBED) for one in nodes]
