"""The models in the model process: each there once, as long as a worker holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from prometheus_client import Gauge

from embedway_gateway.runtime import Loads, Ranker, Runtime
from embedway_gateway.runtimes import Makers

__all__ = ["Held", "Shelf"]


class _Closable(Protocol):
    async def close(self) -> None: ...


Kept = TypeVar("Kept", bound=_Closable)


@dataclass(slots=True)
class _Place(Generic[Kept]):
    model: Kept
    holders: int = 0


class Shelf(Generic[Kept]):
    """Models of one kind; `gauge` counts them."""

    def __init__(self, gauge: Gauge, make: Callable[[str, Loads], Kept]) -> None:
        self._gauge = gauge
        self._make = make
        self._places: dict[Loads, _Place[Kept]] = {}

    def take(self, loads: Loads) -> Kept:
        """The model, for one holder more; it may still have to be loaded."""
        if loads not in self._places:
            self._places[loads] = _Place(self._make(loads.model, loads))
            self._gauge.inc()
        place = self._places[loads]
        place.holders += 1
        return place.model

    async def give_back(self, loads: Loads) -> None:
        """One holder fewer; with the last one it is closed."""
        place = self._places[loads]
        place.holders -= 1
        if not place.holders:
            del self._places[loads]
            self._gauge.dec()
            await place.model.close()


class Held:
    """All of them."""

    def __init__(self, gauge: Gauge, makers: Makers | None = None) -> None:
        makers = makers or Makers()
        self.embedders: Shelf[Runtime] = Shelf(gauge, makers.embedder)
        self.rankers: Shelf[Ranker] = Shelf(gauge, makers.ranker)
