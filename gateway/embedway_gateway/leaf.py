"""Makes the leaves of the stack: one for each upstream that a configuration names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.local import Local
from embedway_upstream import (
    Anonymous,
    Credentials,
    EmbeddingRequest,
    EmbeddingResponse,
    Endpoint,
    Plain,
    Platform,
    Service,
    Transport,
    Upstream,
)
from embedway_upstream.engines.openai import OpenAI
from embedway_upstream.engines.registry import ENGINES, Options

if TYPE_CHECKING:
    from embedway_local import LocalEmbedder

__all__ = ["Leaf", "embedding_leaf", "make_engine", "make_platform"]


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
    engine, platform = make_engine(item, config), make_platform(item)
    endpoint = Endpoint(
        name=item.name,
        engine=engine,
        platform=platform,
        credentials=credentials[item.credentials] if item.credentials else Anonymous(),
        dimensions=config.dimensions,
        path=item.path,
    )
    bounds = [size for size in (engine.limits.max_bytes, platform.max_bytes) if size is not None]
    return Leaf(
        Upstream(endpoint, transport),
        _smaller(item.max_inputs, engine.limits.max_inputs, pooling=item.pooling),
        min(bounds, default=None),
    )


def make_engine(item: UpstreamConfig, config: ModelConfig) -> OpenAI:
    """The dialect, with the name that the server expects."""
    options = Options(model=item.model or config.name, pooling=item.pooling)
    return ENGINES[item.engine](options)


def make_platform(item: UpstreamConfig) -> Platform:
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
