"""How far two upstreams' vectors of the same texts agree, and what it means where they do not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.layers.canary import SHORT, Canaries

__all__ = ["Agreement", "agreement", "difference", "least_ratio"]

_HOW = "(`normalize_embeddings` of OVMS's graph, vLLM's pooler config, or in your own score.py)"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of vectors of the same text: the smallest cosine, -1 where their sizes differ; lengths."""

    short: float
    """Over the texts that every model reads whole."""
    long: float
    """Over the others that both took; 1 where there are none."""
    ratio: float = 1.0
    """The smallest, over all, of the shorter vector's length to the longer one's."""
    unit: tuple[bool, bool] = (True, True)
    """Whether all vectors of the one, and all of the other, have length 1."""

    @property
    def worst(self) -> float:
        """The smallest cosine over all."""
        return min(self.short, self.long)

    def same(self, least: float) -> bool:
        """Whether they are of one vector space, of which `least` is the least cosine."""
        return self.worst >= least and self.ratio >= least_ratio(least)


def agreement(one: Canaries, other: Canaries) -> Agreement:
    """Of the texts that both embedded; what only one of them took says nothing."""
    both = one.keys() & other.keys()
    left, right = (
        {number: float(np.linalg.norm(side[number])) for number in both} for side in (one, other)
    )
    cosine = {
        number: _cosine(one[number], other[number], left[number] * right[number]) for number in both
    }
    ratios = (
        min(left[number], right[number]) / max(left[number], right[number], 1e-12)
        for number in both
    )
    return Agreement(
        short=min((value for number, value in cosine.items() if number < SHORT), default=1.0),
        long=min((value for number, value in cosine.items() if number >= SHORT), default=1.0),
        ratio=min(ratios, default=1.0),
        unit=(_all_unit(left.values()), _all_unit(right.values())),
    )


def _all_unit(lengths: Iterable[float]) -> bool:
    # As far as half precision leaves it.
    return all(abs(length - 1) < 0.01 for length in lengths)


def least_ratio(least: float) -> float:
    """
    Of the lengths of two vectors of one text, in a space of which `least` is the least cosine.

    They may differ by half of what that cosine lets two vectors lie apart, in parts of their
    length: 0.02 with 0.999, and 0.12 with 0.97, for coarse numbers move both, where nothing
    normalises. The least is 0.02, so that the last digits of normalised vectors never decide.
    """
    return min(0.98, 1 - math.sqrt((1 - least) / 2))


def difference(found: Agreement, least: float) -> str:
    """How they differ, why they may, and the cure, as the end of a sentence."""
    if found.worst >= least:
        return f"the directions agree, but not the lengths; {_scaled(found)}"
    return f"cosine {found.worst:.4f}, at least {least} is needed; {_meaning(found, least)}"


def _scaled(found: Agreement) -> str:
    if found.unit == (True, False):
        return f"the normalisation is missing here: switch it on {_HOW}"
    if found.unit == (False, True):
        return (
            f"the normalisation is missing at the reference: switch it on there {_HOW}, or off here"
        )
    return (
        "neither normalises, and one of them scales its vectors or loses more digits (see "
        f"`precision:` of the upstream): normalise at both {_HOW}"
    )


def _meaning(found: Agreement, least: float) -> str:
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


def _cosine(one: NDArray[np.float32], other: NDArray[np.float32], lengths: float) -> float:
    """`lengths` is the product of both."""
    if one.shape != other.shape:
        return -1.0
    return float(one @ other) / max(lengths, 1e-12)
