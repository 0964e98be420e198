"""What is sent to the endpoints: which texts, how many at once, and when."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, pairwise

__all__ = ["Load", "batches", "parts", "synthetic"]

# Words that are one token each for the vocabularies of nearly all models.
_WORDS = (
    "time year people way day man thing woman life child world school state family "
    "student group country problem hand part place case week company system program "
    "question work government number night point home water room mother area money "
    "story fact month lot right study book eye job word business issue side kind head "
    "house service friend father"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`rate` is in requests a second; infinite sends whenever one of `concurrency` is free."""

    texts: tuple[str, ...]
    batch: int = 1
    rate: float = math.inf
    concurrency: int = 32
    requests: int = 200
    warm_up: int = 10
    rounds: int = 1
    """Each endpoint is measured in so many parts, the endpoints taking turns."""
    seed: int = 1

    @property
    def is_open(self) -> bool:
        """Whether requests come when they come, however long answers take."""
        return math.isfinite(self.rate)


def synthetic(count: int, length: int, seed: int) -> tuple[str, ...]:
    """Texts of so many words, all different as far as their length allows; a seed, one set."""
    words = _WORDS.split()
    chance = random.Random(seed)  # noqa: S311 -- nothing here is secret
    return tuple(" ".join(chance.choices(words, k=length)) for _ in range(count))


def batches(load: Load) -> list[tuple[str, ...]]:
    """The requests of a whole run, the same for every endpoint; a short file begins anew."""
    texts = cycle(load.texts)
    return [tuple(_take(texts, load.batch)) for _ in range(load.requests)]


def _take(texts: Iterator[str], count: int) -> Iterator[str]:
    return (next(texts) for _ in range(count))


def parts(whole: Sequence[tuple[str, ...]], count: int) -> list[Sequence[tuple[str, ...]]]:
    """Cut into so many parts of nearly the same size; none is empty."""
    count = max(1, min(count, len(whole)))
    edges = [len(whole) * number // count for number in range(count + 1)]
    return [whole[start:end] for start, end in pairwise(edges)]
