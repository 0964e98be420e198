"""The local models of one configuration: none is loaded twice."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

from embedway_gateway.in_process import in_process
from embedway_gateway.runtime import Loads, Runtime

__all__ = ["Make", "Runtimes"]

Make: TypeAlias = Callable[[str, Loads], Runtime]


class Runtimes:
    """Those in use, by what they load; `make` decides where they are computed."""

    def __init__(self, make: Make = in_process, *, before: Runtimes | None = None) -> None:
        self._make = make
        # A copy: what is added here is to be gone when it is not taken over.
        self._held: dict[Loads, Runtime] = {} if before is None else before.by_loads()

    def of(self, name: str, loads: Loads) -> Runtime:
        """The one that loads this; made, under that name, where there is none yet."""
        if loads not in self._held:
            self._held[loads] = self._make(name, loads)
        return self._held[loads]

    def by_loads(self) -> dict[Loads, Runtime]:
        """A copy of what is held."""
        return dict(self._held)

    def all(self) -> list[Runtime]:
        """Each of them once."""
        return list(self._held.values())

    def keep(self, used: Iterable[Runtime]) -> list[Runtime]:
        """Forget, and return, all others."""
        kept = {id(one) for one in used}
        gone = {loads: one for loads, one in self._held.items() if id(one) not in kept}
        for loads in gone:
            del self._held[loads]
        return list(gone.values())
