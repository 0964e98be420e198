"""Makes the leaves of the stack: one for each upstream that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.layers.timeout import Timeout
from embedway_gateway.local import Local
from embedway_upstream import (
    Anonymous,
    Credentials,
    EmbeddingRequest,
    EmbeddingResponse,
    Endpoint,
    Plain,
    Platform,
    RerankRequest,
    RerankResponse,
    Service,
    Transport,
    Upstream,
)
from embedway_upstream.engines.cohere import Cohere
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.engines.tei import TEI
from embedway_upstream.rerank_endpoint import RerankEndpoint

if TYPE_CHECKING:
    from embedway_local import LocalEmbedder

__all__ = ["Leaf", "embedding_leaf", "measure", "rerank_leaf"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """What one upstream can be asked, and how much at once; None is no bound."""

    service: Service[EmbeddingRequest, EmbeddingResponse]
    max_inputs: int | None = None
    max_bytes: int | None = None
    local: Local | None = None


def embedding_leaf(
    item: UpstreamConfig,
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: Transport,
) -> Leaf:
    """The upstream as something that embeds."""
    if item.engine == "local":
        local = Local(item.name, partial(_open_local, item, config), dimensions=config.dimensions)
        return Leaf(local, item.max_inputs, None, local)
    endpoint = _endpoint(item, config.name, config.dimensions, credentials)
    limits, platform = endpoint.engine.limits, endpoint.platform
    bounds = [size for size in (limits.max_bytes, platform.max_bytes) if size is not None]
    return Leaf(
        Upstream(endpoint, transport),
        _smaller(item.max_inputs, limits.max_inputs, pooling=item.pooling),
        min(bounds, default=None),
    )


def rerank_leaf(
    item: UpstreamConfig,
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: Transport,
) -> tuple[Service[RerankRequest, RerankResponse], int | None]:
    """The upstream as something that reranks, and how many documents it takes at once."""
    endpoint = _endpoint(item, config.name, None, credentials)
    engine = endpoint.engine
    assert isinstance(engine, TEI | Cohere)
    # `path` is where it embeds; a model that only reranks has it for reranking.
    if "embed" in config.capabilities:
        endpoint = replace(endpoint, path=None)
    service = Upstream(RerankEndpoint(endpoint=endpoint, engine=engine), transport)
    stated = item.max_inputs
    return service, stated if stated is not None else engine.rerank_limits.max_inputs


async def measure(
    item: UpstreamConfig, model: str, credentials: Mapping[str, Credentials], transport: Transport
) -> int:
    """The size of the upstream's vectors, by asking for one. Raises an `EmbeddingError`."""
    endpoint = _endpoint(item, model, None, credentials)
    leaf = Timeout(Upstream(endpoint, transport), seconds=item.timeout, upstream=item.name)
    response = await leaf.send(EmbeddingRequest(model, ("How long is a vector?",)))
    return int(response.vectors.shape[1])


def _endpoint(
    item: UpstreamConfig,
    model: str,
    dimensions: int | None,
    credentials: Mapping[str, Credentials],
) -> Endpoint:
    # The name that the server expects.
    options = Options(model=item.model or model, pooling=item.pooling)
    return Endpoint(
        name=item.name,
        engine=ENGINES[item.engine](options),
        platform=_platform(item),
        credentials=credentials[item.credentials] if item.credentials else Anonymous(),
        dimensions=dimensions,
        path=item.path,
    )


def _platform(item: UpstreamConfig) -> Platform:
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

            return AICore(item.url, resource_group=item.resource_group)


def _smaller(stated: int | None, engines: int | None, *, pooling: str | None) -> int | None:
    """
    A deployment may have been started with another limit than its engine's, so what is stated
    wins; but pooling a mean is only exact for one text alone.
    """
    if pooling == "mean":
        return 1
    return stated if stated is not None else engines


def _open_local(item: UpstreamConfig, config: ModelConfig) -> LocalEmbedder:
    # Imported here: it costs 0.1 s, and a gateway without a local model never needs it.
    from embedway_local import LocalEmbedder

    return LocalEmbedder(
        item.model or config.name, device=item.device, max_tokens=config.max_tokens
    )
