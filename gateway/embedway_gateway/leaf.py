"""Makes the leaves of the stack: one for each upstream that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.capacity import Capacity
from embedway_gateway.layers.timeout import Timeout
from embedway_gateway.local import Local
from embedway_gateway.local_rerank import LocalRerank, OnlyReranks
from embedway_gateway.runtime import Loads, Runtime
from embedway_gateway.runtimes import Runtimes
from embedway_upstream import (
    Anonymous,
    Credentials,
    EmbeddingRequest,
    EmbeddingResponse,
    Endpoint,
    OpenAI,
    Plain,
    Platform,
    RerankRequest,
    RerankResponse,
    Service,
    Transport,
    Upstream,
)
from embedway_upstream.chat import ChatReply, ChatRequest
from embedway_upstream.chat_endpoint import ChatEndpoint
from embedway_upstream.chat_upstream import ChatUpstream
from embedway_upstream.engines.cohere import Cohere
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.engines.tei import TEI
from embedway_upstream.flow import StreamTransport
from embedway_upstream.rerank_endpoint import RerankEndpoint
from embedway_upstream.upstream import Watch

if TYPE_CHECKING:
    from embedway_gateway.hosted.service import Account, Hosted

__all__ = ["Leaf", "chat_leaf", "embedding_leaf", "measure", "rerank_leaf"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """What one upstream can be asked, and how much at once."""

    service: Service[EmbeddingRequest, EmbeddingResponse]
    capacity: Capacity
    local: Local | None = None
    endpoint: Endpoint | None = None
    """Where it is called over HTTP."""
    hosted: Hosted | None = None
    reranker: LocalRerank | None = None
    """The local cross-encoder, where the model only reranks."""

    @property
    def max_inputs(self) -> int | None:
        """The most texts at once, as far as it is known."""
        return self.capacity.firm.max_inputs


def embedding_leaf(
    item: UpstreamConfig,
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: Transport,
    *,
    runtimes: Runtimes | None = None,
    watch: Watch | None = None,
) -> Leaf:
    """
    The upstream as something that embeds; a runtime that is not in `runtimes` is put there, and
    `watch` is told of calls over HTTP.
    """
    if item.engine == "local" and "embed" not in config.capabilities:
        loads = Loads(item.model or config.name, item.device, config.max_tokens)
        ranker = (runtimes or Runtimes()).ranker(item.name, loads)
        reranker = LocalRerank(item.name, ranker)
        return Leaf(OnlyReranks(item.name), _counted(item, None), reranker=reranker)
    if item.engine == "local":
        runtime = _runtime(item, config, runtimes or Runtimes())
        local = Local(item.name, runtime, dimensions=config.dimensions)
        return Leaf(local, _counted(item, None), local)
    if item.engine == "litellm":
        return _hosted_leaf(item, config.dimensions, credentials)
    endpoint = _endpoint(item, config.name, config.dimensions, credentials)
    capacity = _capacity(item, endpoint.engine.limits, endpoint.platform)
    return Leaf(Upstream(endpoint, transport, watch=watch), capacity, endpoint=endpoint)


def rerank_leaf(
    item: UpstreamConfig,
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: Transport,
    *,
    local: LocalRerank | None,
    watch: Watch | None = None,
) -> tuple[Service[RerankRequest, RerankResponse], Capacity]:
    """The upstream as something that reranks, and how much at once; `local` is the leaf's own."""
    if local is not None:
        return local, _counted(item, None)
    if item.engine == "litellm":
        from embedway_gateway.hosted.library import Library
        from embedway_gateway.hosted.provider import most_documents
        from embedway_gateway.hosted.service import HostedRerank

        account = _account(item, credentials)
        hosted = HostedRerank(account, Library(item.name))
        return hosted, _counted(item, most_documents(account.model))
    endpoint = _endpoint(item, config.name, None, credentials)
    engine = endpoint.engine
    assert isinstance(engine, TEI | Cohere)
    # `path` is where it embeds; a model that only reranks has it for reranking.
    if "embed" in config.capabilities:
        endpoint = replace(endpoint, path=None)
    reranks = RerankEndpoint(endpoint=endpoint, engine=engine)
    service = Upstream(reranks, transport, watch=watch)
    return service, _capacity(item, engine.rerank_limits, endpoint.platform)


def chat_leaf(
    item: UpstreamConfig,
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: StreamTransport,
) -> Service[ChatRequest, ChatReply]:
    """The upstream as something that chats and completes."""
    endpoint = _endpoint(item, config.name, None, credentials)
    engine = endpoint.engine
    assert isinstance(engine, OpenAI)
    # `path` is where it embeds or reranks; a model that only chats has it for that.
    if config.capabilities != ("chat",):
        endpoint = replace(endpoint, path=None)
    chat = ChatEndpoint(endpoint=endpoint, engine=engine)
    return ChatUpstream(chat, transport, idle=item.timeout)


async def measure(
    item: UpstreamConfig, model: str, credentials: Mapping[str, Credentials], transport: Transport
) -> int:
    """The size of the upstream's vectors, by asking for one. Raises an `EmbeddingError`."""
    endpoint = _endpoint(item, model, None, credentials)
    leaf = Timeout(Upstream(endpoint, transport), seconds=item.timeout, upstream=item.name)
    response = await leaf.send(EmbeddingRequest(model, ("How long is a vector?",)))
    return int(response.vectors.shape[1])


def _hosted_leaf(
    item: UpstreamConfig, dimensions: int | None, credentials: Mapping[str, Credentials]
) -> Leaf:
    # Imported here: only a configuration that names a hosted provider needs it.
    from embedway_gateway.hosted.library import Library
    from embedway_gateway.hosted.provider import most_inputs
    from embedway_gateway.hosted.service import Hosted

    account = _account(item, credentials)
    hosted = Hosted(account, Library(item.name), dimensions=dimensions)
    return Leaf(hosted, _counted(item, most_inputs(account.model)), hosted=hosted)


def _account(item: UpstreamConfig, credentials: Mapping[str, Credentials]) -> Account:
    from embedway_gateway.hosted.service import Account

    assert item.model is not None
    key = None
    if item.credentials is not None:
        # LiteLLM writes the header itself, under the provider's name for it.
        signed = credentials[item.credentials].sign("POST", item.url or "", {}, b"")
        key = signed["authorization"].removeprefix("Bearer ")
    return Account(
        name=item.name, model=item.model, api_key=key, api_base=item.url, timeout=item.timeout
    )


def _endpoint(
    item: UpstreamConfig,
    model: str,
    dimensions: int | None,
    credentials: Mapping[str, Credentials],
) -> Endpoint:
    # The name that the server expects.
    options = Options(model=item.model or model, pooling=item.pooling)
    login = credentials[item.credentials] if item.credentials else Anonymous()
    return Endpoint(
        name=item.name,
        engine=ENGINES[item.engine](options),
        platform=_platform(item, login),
        credentials=login,
        dimensions=dimensions,
        path=item.path,
    )


def _platform(item: UpstreamConfig, credentials: Credentials) -> Platform:
    """What stands in front of the engine."""
    assert item.url is not None
    match item.platform:
        case "plain":
            return Plain(item.url)
        case "oci":
            from embedway_upstream.platforms.oci import OCI

            return OCI(item.url, invoke=item.invoke)
        case "aicore":
            from embedway_upstream.platforms.aicore import AICore
            from embedway_upstream.platforms.aicore_login import group_of

            return AICore(item.url, resource_group=item.resource_group or group_of(credentials))


def _counted(item: UpstreamConfig, most: int | None) -> Capacity:
    """Of what is not called by us over HTTP."""
    return Capacity(Bounds(max_inputs=item.max_inputs or most), seconds=item.timeout)


def _capacity(item: UpstreamConfig, limits: Limits, platform: Platform) -> Capacity:
    """
    A deployment may have been started with another limit than its engine's, so what is stated
    wins; but pooling a mean is only exact for one text alone.
    """
    stated = limits.max_inputs if item.max_inputs is None else item.max_inputs
    bounds = Bounds(
        max_inputs=1 if item.pooling == "mean" else stated, max_bytes=limits.max_bytes
    ).least(Bounds(max_bytes=platform.max_bytes))
    longest = platform.max_seconds
    seconds = item.timeout if longest is None else min(item.timeout, longest)
    return Capacity(bounds, seconds=seconds)


def _runtime(item: UpstreamConfig, config: ModelConfig, runtimes: Runtimes) -> Runtime:
    loads = Loads(item.model or config.name, item.device, config.max_tokens, item.precision)
    return runtimes.of(item.name, loads)
