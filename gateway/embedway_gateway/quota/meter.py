"""Counts what a minute allows: a bucket that fills evenly, as one number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from embedway_gateway.quota.allowance import Allowance

__all__ = [
    "MINUTE",
    "Kind",
    "Meter",
    "Seats",
    "admits",
    "charged",
    "corrected",
    "counted",
    "remaining",
]

Kind: TypeAlias = Literal["requests", "texts", "tokens"]

MINUTE = 60.0
# What rounding may add up to, in seconds; far less than one token takes to come back.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Meter:
    """
    A bucket of `limit` that refills within a minute (GCRA: its whole state is the moment at which
    it will be full again). What was idle may be emptied at once, so that in any time of t minutes
    at most `limit * (1 + t)` passes.
    """

    name: str
    kind: Kind
    limit: int


@dataclass(frozen=True, slots=True)
class Seats:
    """How many requests may be under way at once."""

    name: str
    most: int


def admits(meter: Meter, amount: float, *, full_at: float, now: float) -> float:
    """How many seconds it takes until there is as much: 0 when there is."""
    over = max(0.0, full_at - now) + amount * MINUTE / meter.limit - MINUTE
    return over if over > _ROUNDING else 0.0


def charged(meter: Meter, amount: float, *, full_at: float, now: float) -> float:
    """When it is full again after `amount` was taken, which may be more than there was."""
    return max(now, full_at) + amount * MINUTE / meter.limit


def corrected(meter: Meter, change: float, *, full_at: float, now: float) -> float:
    """The same after an amount proved to be larger, or smaller. It is never more than full."""
    return max(now, charged(meter, change, full_at=full_at, now=now))


def remaining(meter: Meter, reset: float) -> int:
    """What is left while it takes `reset` seconds to be full."""
    return max(0, int(meter.limit * (1.0 - reset / MINUTE) + 1e-6))


@lru_cache(maxsize=8192)
def counted(name: str, allowance: Allowance) -> tuple[tuple[Meter, ...], tuple[Seats, ...]]:
    """What counts for somebody, or something, of that name."""
    limits: tuple[tuple[Kind, int | None], ...] = (
        ("requests", allowance.rpm),
        ("texts", allowance.texts_per_minute),
        ("tokens", allowance.tpm),
    )
    meters = tuple(
        Meter(f"{name}:{kind}", kind, limit) for kind, limit in limits if limit is not None
    )
    most = allowance.max_concurrency
    return meters, () if most is None else (Seats(f"{name}:seats", most),)
