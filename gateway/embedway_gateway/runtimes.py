"""The local models of one configuration: none is loaded twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from embedway_gateway.in_process import in_process
from embedway_gateway.rank_in_process import rank_in_process
from embedway_gateway.runtime import Loads, Ranker, Runtime

__all__ = ["Make", "Makers", "Runtimes"]

Make: TypeAlias = Callable[[str, Loads], Runtime]


@dataclass(frozen=True, slots=True)
class Makers:
    """Where local models are computed; by default in this process."""

    embedder: Make = in_process
    ranker: Callable[[str, Loads], Ranker] = rank_in_process


class Runtimes:
    """Those in use, by what they load; `makers` makes those that are new."""

    def __init__(self, makers: Makers | None = None, *, before: Runtimes | None = None) -> None:
        self._makers = makers or Makers()
        # Copies: what is added here is to be gone when it is not taken over.
        self.embedders: dict[Loads, Runtime] = {} if before is None else {**before.embedders}
        self.rankers: dict[Loads, Ranker] = {} if before is None else {**before.rankers}

    def of(self, name: str, loads: Loads) -> Runtime:
        """The one that embeds with this; made, under that name, where there is none yet."""
        if loads not in self.embedders:
            self.embedders[loads] = self._makers.embedder(name, loads)
        return self.embedders[loads]

    def ranker(self, name: str, loads: Loads) -> Ranker:
        """The same for one that reranks."""
        if loads not in self.rankers:
            self.rankers[loads] = self._makers.ranker(name, loads)
        return self.rankers[loads]

    def all(self) -> list[Runtime | Ranker]:
        """Each of them once."""
        return [*self.embedders.values(), *self.rankers.values()]

    def keep(self, used: Iterable[Runtime | Ranker]) -> list[Runtime | Ranker]:
        """Forget, and return, all others."""
        kept = {id(one) for one in used}
        gone = [one for one in self.all() if id(one) not in kept]
        self.embedders = {key: one for key, one in self.embedders.items() if id(one) in kept}
        self.rankers = {key: one for key, one in self.rankers.items() if id(one) in kept}
        return gone
