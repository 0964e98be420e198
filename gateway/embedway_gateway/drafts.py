"""Makes of what was found the configuration of a model, as a user would write it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from embedway_gateway.comparison import NO_IDENTITIES
from embedway_gateway.config.schema import Capability, ModelConfig, UpstreamConfig
from embedway_gateway.discovery import DiscoveredModel, Found
from embedway_upstream import UpstreamRefused

__all__ = ["Draft", "Drafts", "Measure"]

Measure = Callable[[UpstreamConfig, str], Awaitable[int]]
"""The size of the vectors of the upstream, which is asked for the model of that name."""

_FIRST = asyncio.FIRST_COMPLETED
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
    size of vectors; after `patience` seconds the next deployment is asked for it, too.
    """

    def __init__(
        self, logins: Mapping[str, str], measure: Measure, *, patience: float = 5.0
    ) -> None:
        self._logins = logins
        self._measure = measure
        self._patience = patience

    async def draft(self, found: DiscoveredModel) -> Draft:
        """Raises an `EmbeddingError` of the oldest deployment, or `ValueError`."""
        oldest = found.replicas[0]
        can: set[Capability] = set(oldest.capabilities)
        alike = [one for one in found.replicas if can <= one.capabilities]
        stated = {one.dimensions for one in alike} - {None}
        dimensions = stated.pop() if len(stated) == 1 else None
        if "embed" in can and dimensions is None:
            dimensions = await self._size(list(map(self._upstream, alike)), found.name, can)
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

    async def _size(
        self, upstreams: Sequence[UpstreamConfig], model: str, can: set[Capability]
    ) -> int | None:
        """
        Of the vectors; of `can`, takes away what the model then turns out not to be: the marks of
        a vLLM may fit one that embeds and one that chats, and only the oldest can tell.
        """
        if "chat" not in can:
            return await self._first_size(upstreams, model)
        try:
            size = await self._measure(upstreams[0], model)
        except UpstreamRefused:
            can.discard("embed")
            return None
        can.discard("chat")
        return size

    async def _first_size(self, upstreams: Sequence[UpstreamConfig], model: str) -> int:
        """What the first to answer says; one that hangs or fails does not keep the others back."""
        asked: list[asyncio.Task[int]] = []
        rest = iter(upstreams)
        try:
            while True:
                if (upstream := next(rest, None)) is not None:
                    asked.append(asyncio.ensure_future(self._measure(upstream, model)))
                under_way = [task for task in asked if not task.done()]
                if not under_way:
                    return asked[0].result()
                patience = None if upstream is None else self._patience
                await asyncio.wait(under_way, timeout=patience, return_when=_FIRST)
                for task in asked:
                    if task.done() and task.exception() is None:
                        return task.result()
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

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
