"""Lets gateways take turns, and keeps what was found of each, round by round."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import load
from load import Ask
from peer_gateway import NotStarted, Running, ours, peer

__all__ = ["CALLERS", "OURS", "Found", "Goal", "Options", "side_by_side", "take_turns"]

OURS = "embedway"
CALLERS = 16


@dataclass(frozen=True, slots=True)
class Options:
    """How long, how often, and beside whom."""

    seconds: float
    rounds: int
    peers: Sequence[str]
    environment: Path

    def turns(self, names: Sequence[str]) -> Iterator[tuple[str, int]]:
        """Those of the names that take part, in turn, as often as there are rounds."""
        for number in range(self.rounds):
            for name in names:
                if name == OURS or name in self.peers:
                    yield name, number


@dataclass(frozen=True, slots=True)
class Goal:
    """What was to be shown, and whether it was."""

    words: str
    wanted: str
    found: float
    met: bool


@dataclass
class Found:
    """One number a round for each quantity of each who took part."""

    numbers: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, who: str, **values: float) -> None:
        for what, value in values.items():
            self.numbers.setdefault(who, {}).setdefault(what, []).append(value)

    def miss(self, who: str, why: str) -> None:
        """To be told, lest silence look like a result."""
        self.missing[who] = why

    def median(self, who: str, what: str) -> float | None:
        """None where there is nothing."""
        found = self._of(who, what)
        return statistics.median(found) if found else None

    def ratio(self, one: str, other: str, what: str) -> float | None:
        """The median of the rounds' ratios, each of which saw the same machine."""
        pairs = zip(self._of(one, what), self._of(other, what), strict=False)
        found = [mine / theirs for mine, theirs in pairs if theirs]
        return statistics.median(found) if found else None

    def least(self, words: str, wanted: float, found: float | None) -> None:
        if found is not None:
            self.goals.append(Goal(words, f"≥ {wanted:g}", found, found >= wanted))

    def most(self, words: str, wanted: float, found: float | None) -> None:
        if found is not None:
            self.goals.append(Goal(words, f"≤ {wanted:g}", found, found <= wanted))

    def _of(self, who: str, what: str) -> list[float]:
        return self.numbers.get(who, {}).get(what, [])


@contextlib.contextmanager
def side_by_side(
    found: Found, options: Options, url: str, *, dimensions: int, peers: Sequence[str] | None = None
) -> Iterator[dict[str, Running]]:
    """Ours and the peers before the same upstream; those that are not there are named."""
    with ExitStack() as stack:
        running = {OURS: stack.enter_context(ours([{}], url, dimensions=dimensions))}
        for name in options.peers:
            if peers is not None and name not in peers:
                continue
            try:
                begun = peer(name, [url], environment=options.environment)
                running[name] = stack.enter_context(begun)
            except NotStarted as error:
                found.miss(name, str(error))
        yield running


def take_turns(
    found: Found,
    gateways: Mapping[str, Running],
    ask: Ask,
    options: Options,
    *,
    connections: int = CALLERS,
) -> None:
    """Each in turn for some seconds, after a warm-up: answers a second, and the CPU of one."""
    for one in gateways.values():
        load.wrk(one.url, ask, connections=connections, seconds=1)
    for _ in range(options.rounds):
        for who, one in gateways.items():
            cpu = one.cpu()
            got = load.wrk(one.url, ask, connections=connections, seconds=options.seconds)
            spent = (one.cpu() - cpu) / max(1, got.requests) * 1e6
            found.add(who, rate=got.rate, p50_ms=got.p50, p99_ms=got.p99, cpu_us=spent)
