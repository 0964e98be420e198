"""Makes of what was found the configuration of a model, as a user would write it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from embedway_gateway.config.schema import Capability, ModelConfig, UpstreamConfig
from embedway_gateway.discovery import DiscoveredModel, Found
from embedway_upstream import UpstreamRefused

__all__ = ["Draft", "Drafts", "Measure"]

Measure = Callable[[UpstreamConfig, str], Awaitable[int]]
"""The size of the vectors of the upstream, which is asked for the model of that name."""

_ORDER: tuple[Capability, ...] = ("embed", "rerank", "chat")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is known of a model that was found."""

    config: ModelConfig
    identities: Mapping[str, str] = field(default_factory=dict)
    """Of its deployments, by the upstream's name; none where the oldest states its `revision`."""


class Drafts:
    """
    `logins` names the credentials of each source. `measure` tells what no platform states, the
    size of vectors.
    """

    def __init__(self, logins: Mapping[str, str], measure: Measure) -> None:
        self._logins = logins
        self._measure = measure

    async def draft(self, found: DiscoveredModel) -> Draft:
        """Raises an `EmbeddingError` of the oldest deployment, or `ValueError`."""
        upstreams = tuple(self._upstream(one) for one in found.replicas)
        can: set[Capability] = {name for one in found.replicas for name in one.capabilities}
        stated = {one.dimensions for one in found.replicas if one.dimensions is not None}
        dimensions = stated.pop() if len(stated) == 1 else None
        if "embed" in can and dimensions is None:
            dimensions = await self._size(upstreams[0], found.name, can)
        revision = found.replicas[0].revision
        config = ModelConfig(
            name=found.name,
            aliases=found.aliases,
            capabilities=tuple(name for name in _ORDER if name in can),
            dimensions=dimensions,
            revision=revision,
            upstreams=upstreams,
        )
        if revision is not None:
            return Draft(config=config)
        return Draft(
            config=config, identities={one.upstream: one.identity for one in found.replicas}
        )

    async def _size(self, upstream: UpstreamConfig, model: str, can: set[Capability]) -> int | None:
        """
        Of the vectors; of `can`, takes away what the model then turns out not to be: the marks of
        a vLLM may fit one that embeds and one that chats, and only it can tell.
        """
        try:
            size = await self._measure(upstream, model)
        except UpstreamRefused:
            if "chat" not in can:
                raise
            can.discard("embed")
            return None
        can.discard("chat")
        return size

    def _upstream(self, found: Found) -> UpstreamConfig:
        return UpstreamConfig.model_validate(
            {
                "name": found.upstream,
                "engine": found.engine,
                "platform": found.platform,
                "url": found.url,
                "invoke": found.invoke or "predict",
                "path": found.path,
                "model": found.model,
                "pooling": None if found.pooling == "none" else found.pooling,
                "precision": found.precision or "fp32",
                "resource_group": found.resource_group or "default",
                "credentials": self._logins[found.source],
            }
        )
