"""Keeps the list of discovered models fresh, through outages too."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from types import MappingProxyType

from embedway_gateway.discovery.catalogue import DiscoveredModel, group
from embedway_gateway.discovery.found import Found, Source
from embedway_upstream import EmbeddingError

__all__ = ["Discovery", "SourceStatus", "Watched"]

_log = logging.getLogger("embedway.discovery")

# A platform that asks for more patience than this is asked again all the same.
_LONGEST_PAUSE = 600.0

Listener = Callable[[tuple[DiscoveredModel, ...]], None]


@dataclass(frozen=True, slots=True)
class Watched:
    """A source, and how often it is listed, in seconds."""

    source: Source
    every: float = 60.0


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """Of one source, for those who look: readiness, the console, `check`."""

    found: tuple[Found, ...] = ()
    """The last good list, which may be an earlier configuration's."""
    listed_at: float | None = None
    """When it was got; None before the first of this configuration."""
    problem: str = ""
    """Of the last listing, empty when it was good."""


class Discovery:
    """
    `models` is what the sources found last, without the names in `static`: what the configuration
    names is never replaced. `known`, by the source's name, is what was found there before this one
    began, and counts until the source is listed.

    `refresh` lists every source once and raises nothing for one that fails: it keeps its last
    good list. `run` goes on until it is cancelled. Listeners are called on every change, in the
    event loop, with all models. `ValueError` for two sources of one name.
    """

    def __init__(
        self,
        watched: Sequence[Watched],
        *,
        static: AbstractSet[str] = frozenset(),
        known: Mapping[str, Sequence[Found]] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._watched = tuple(watched)
        if len({one.source.name for one in self._watched}) < len(self._watched):
            raise ValueError("two sources of discovery have the same name")
        self._static = frozenset(static)
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._status = [
            SourceStatus(tuple(known.get(one.source.name, ()))) for one in self._watched
        ]
        self._models = group(self._everything, self._static)
        self._listeners: list[Listener] = []
        self._shadowed: set[str] = set()

    @property
    def models(self) -> tuple[DiscoveredModel, ...]:
        """By name."""
        return self._models

    @property
    def status(self) -> Mapping[str, SourceStatus]:
        """By the source's name."""
        pairs = zip(self._watched, self._status, strict=True)
        return {watched.source.name: status for watched, status in pairs}

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call it on every change; returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def named(self, static: AbstractSet[str]) -> tuple[DiscoveredModel, ...]:
        """What `models` would be, if these were the names that the configuration keeps."""
        return group(self._everything, static)

    def rename(self, static: AbstractSet[str]) -> None:
        """Exchange the names that the configuration keeps for itself."""
        self._static = frozenset(static)
        self._publish()

    async def refresh(self) -> None:
        """List every source once, all at the same time."""
        await asyncio.gather(*(self._list(place) for place in range(len(self._watched))))

    async def run(self) -> None:
        """List each source at once, and then at its interval, until cancelled."""
        await asyncio.gather(*(self._watch(place) for place in range(len(self._watched))))

    async def _watch(self, place: int) -> None:
        while True:
            asked = await self._list(place)
            # Spread by a tenth each way, so that many gateways do not ask in step.
            pause = self._watched[place].every * (0.9 + 0.2 * self._jitter())
            await self._sleep(max(pause, min(asked, _LONGEST_PAUSE)))

    async def _list(self, place: int) -> float:
        """One listing; returns how long the platform asks to wait."""
        source = self._watched[place].source
        try:
            found = tuple(await source.list())
        except EmbeddingError as error:
            detail = f" ({error.detail})" if error.detail else ""
            self._failed(place, f"{error.message}{detail}", trace=False)
            return error.retry_after or 0.0
        except Exception as error:  # noqa: BLE001 - the last resort: a bug must not end the loop
            self._failed(place, f"a fault of ours: {type(error).__name__}", trace=True)
            return 0.0
        before = self._status[place]
        if before.problem:
            _log.info("discovery %s answers again", source.name)
        self._status[place] = SourceStatus(found, self._clock())
        _log_changes(before.found, found)
        self._publish()
        return 0.0

    def _failed(self, place: int, problem: str, *, trace: bool) -> None:
        before = self._status[place]
        self._status[place] = replace(before, problem=problem)
        # Said when an outage begins, not every round of it.
        if not before.problem:
            name, count = self._watched[place].source.name, len(before.found)
            listed = before.listed_at is not None or count
            kept = f"the last list stays, of {count}" if listed else "no list"
            _log.error("discovery %s failed: %s; %s", name, problem, kept, exc_info=trace)

    @property
    def _everything(self) -> list[Found]:
        return [one for status in self._status for one in status.found]

    def _publish(self) -> None:
        everything = self._everything
        for name in sorted({one.name for one in everything} & self._static - self._shadowed):
            self._shadowed.add(name)
            _log.info("%s is found, but the configuration names it and wins", _word(name))
        models = group(everything, self._static)
        if models == self._models:
            return
        self._models = models
        for listener in tuple(self._listeners):
            try:
                listener(models)
            except Exception:  # noqa: BLE001
                # The last resort: one listener's bug is not the others'.
                _log.exception("a listener of discovery failed")


def _log_changes(before: Sequence[Found], after: Sequence[Found]) -> None:
    """One line each. A deployment that goes on serving while it is updated has not changed."""
    old = {(one.deployment, one.name): one for one in before}
    new = {(one.deployment, one.name): one for one in after}
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) == new.get(key):
            continue
        word = "appeared" if key not in old else "is gone" if key not in new else "changed"
        one = new.get(key) or old[key]
        facts = {"source": one.source, "deployment": one.deployment, "engine": one.engine}
        facts["can"] = "+".join(sorted(one.capabilities))
        _log.info("discovery: %s %s", _word(one.name), word, extra={"facts": facts})


def _word(name: str) -> str:
    """A display name is anybody's to write: a line break in it must not forge a line of the log."""
    return name if name.isprintable() else repr(name)
