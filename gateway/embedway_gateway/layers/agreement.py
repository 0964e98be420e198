"""How far two upstreams' vectors of the same texts agree, and what it means where they do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.layers.canary import SHORT, Canaries

__all__ = ["Agreement", "agreement", "meaning"]


@dataclass(frozen=True, slots=True)
class Agreement:
    """The smallest cosine between vectors of the same text; -1 where their sizes differ."""

    short: float
    """Over the texts that every model reads whole."""
    long: float
    """Over the others that both took; 1 where there are none."""

    @property
    def worst(self) -> float:
        """Over all."""
        return min(self.short, self.long)


def agreement(one: Canaries, other: Canaries) -> Agreement:
    """Of the texts that both embedded; what only one of them took says nothing."""
    both = one.keys() & other.keys()
    found = {number: _cosine(one[number], other[number]) for number in both}
    return Agreement(
        short=min((value for number, value in found.items() if number < SHORT), default=1.0),
        long=min((value for number, value in found.items() if number >= SHORT), default=1.0),
    )


def meaning(found: Agreement, least: float) -> str:
    """Why they may differ, and the cure, as the end of a sentence."""
    if found.short >= least:
        return (
            "the same on short texts, different on long ones: the upstreams cut texts at different "
            "lengths; set `max_tokens:` of the model (it is where engine local cuts) or the "
            "server's own limit, so that all cut at the same"
        )
    if found.worst < 0.9:
        return "it serves another model, or the same one with another pooling or prompt"
    return (
        "it serves another model or revision, or the same one with another pooling, prompt or "
        "number format (see `precision:` of the upstream)"
    )


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    if one.shape != other.shape:
        return -1.0
    lengths = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / max(lengths, 1e-12)
