"""Makes of what was found the configuration of a model, as a user would write it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from embedway_gateway.comparison import NO_IDENTITIES
from embedway_gateway.config.schema import Capability, ModelConfig, UpstreamConfig
from embedway_gateway.discovery import DiscoveredModel, Found
from embedway_upstream import UpstreamRefused

__all__ = ["Draft", "Drafts", "Measure"]

Measure = Callable[[UpstreamConfig, str], Awaitable[int]]
"""The size of the vectors of the upstream, which is asked for the model of that name."""

_ORDER: tuple[Capability, ...] = ("embed", "rerank", "chat")
_DOES: Mapping[Capability, str] = MappingProxyType(
    {"embed": "embeds", "rerank": "reranks", "chat": "chats"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What is known of a model that was found."""

    config: ModelConfig
    identities: Mapping[str, str]
    """Of its deployments, by the upstream's name; none where the oldest states its `revision`."""
    unfit: Mapping[str, str] = field(default_factory=dict)
    """The deployments that cannot do what the oldest one does, and why they are left out."""


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
        oldest = found.replicas[0]
        can: set[Capability] = set(oldest.capabilities)
        stated = {one.dimensions for one in found.replicas if can <= one.capabilities} - {None}
        dimensions = stated.pop() if len(stated) == 1 else None
        if "embed" in can and dimensions is None:
            dimensions = await self._size(self._upstream(oldest), found.name, can)
        fit = [one for one in found.replicas if can <= one.capabilities]
        config = ModelConfig(
            name=found.name,
            aliases=found.aliases,
            capabilities=tuple(name for name in _ORDER if name in can),
            dimensions=dimensions,
            revision=oldest.revision,
            upstreams=tuple(self._upstream(one) for one in fit),
        )
        told = oldest.revision is not None
        return Draft(
            config=config,
            identities=NO_IDENTITIES if told else {one.upstream: one.identity for one in fit},
            unfit={
                one.upstream: f"it {_does(one.capabilities)}, and the oldest deployment of that "
                f"name, {oldest.upstream!r}, {_does(can)}: give one of them another name"
                for one in found.replicas
                if one not in fit
            },
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


def _does(can: Collection[Capability]) -> str:
    return " and ".join(_DOES[name] for name in _ORDER if name in can)
