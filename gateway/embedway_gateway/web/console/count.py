"""What the metrics have counted so far of one model, or of one of its upstreams."""

from __future__ import annotations

from collections import defaultdict

from prometheus_client import CollectorRegistry

__all__ = ["Counts", "counted"]

_PREFIX = "embedway_"


class Counts:
    """Sums over samples; what was never counted is 0. Names are without `embedway_`."""

    def __init__(self) -> None:
        self._samples: defaultdict[tuple[str, str], list[tuple[dict[str, str], float]]]
        self._samples = defaultdict(list)

    def add(self, name: str, labels: dict[str, str], value: float) -> None:
        """One sample of a model."""
        self._samples[name, labels["model"]].append((labels, value))

    def total(self, name: str, model: str, **labels: str) -> float:
        """Of all samples with these labels."""
        return sum(
            value
            for found, value in self._samples.get((name, model), ())
            if labels.items() <= found.items()
        )

    def split(self, name: str, model: str, **labels: str) -> dict[str, float]:
        """By what became of it: `ok`, and the rest."""
        ok = self.total(name, model, outcome="ok", **labels)
        return {"ok": ok, "failed": self.total(name, model, **labels) - ok}

    def mean(self, name: str, model: str, **labels: str) -> dict[str, float]:
        """What a mean is made of: the `sum`, in seconds, and how many were measured."""
        return {
            "sum": self.total(f"{name}_sum", model, **labels),
            "count": self.total(f"{name}_count", model, **labels),
        }


def counted(registry: CollectorRegistry) -> Counts:
    """Reads all that has a model."""
    counts = Counts()
    for family in registry.collect():
        for sample in family.samples:
            if "model" in sample.labels:
                counts.add(sample.name.removeprefix(_PREFIX), sample.labels, sample.value)
    return counts
