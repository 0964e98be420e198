"""The models in the model process: each there once, as long as a worker holds it."""

from __future__ import annotations

from prometheus_client import Gauge

from embedway_gateway.in_process import in_process
from embedway_gateway.runtime import Loads, Runtime
from embedway_gateway.runtimes import Make

__all__ = ["Held"]


class Held:
    """`gauge` shows how many there are."""

    def __init__(self, gauge: Gauge, make: Make = in_process) -> None:
        self._gauge = gauge
        self._make = make
        self._models: dict[Loads, Runtime] = {}
        self._holders: dict[Loads, int] = {}

    def take(self, loads: Loads) -> Runtime:
        """The model, for one holder more; it may still have to be loaded."""
        if loads not in self._models:
            self._models[loads] = self._make(loads.model, loads)
        self._holders[loads] = self._holders.get(loads, 0) + 1
        self._gauge.set(len(self._models))
        return self._models[loads]

    async def give_back(self, runtime: Runtime) -> None:
        """One holder fewer; with the last one it is closed."""
        loads = next((key for key, one in self._models.items() if one is runtime), None)
        if loads is None:
            return
        self._holders[loads] -= 1
        if not self._holders[loads]:
            del self._models[loads], self._holders[loads]
            self._gauge.set(len(self._models))
            await runtime.close()
