"""How many calls at once the limit finds out that an upstream serves, in simulated time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.layers.concurrency import Adaptive, Alone


@dataclass
class Upstream:
    """Serves so many calls at once, each in `seconds` of its texts; others wait their turn."""

    servers: int
    seconds: Callable[[int], float]
    jitter: float = 0.0
    dice: random.Random = field(default_factory=lambda: random.Random(11))
    free: list[float] = field(default_factory=list)

    def call(self, now: float, texts: int) -> float:
        """When it ends."""
        self.free = sorted(self.free)[-self.servers :]
        while len(self.free) < self.servers:
            self.free.insert(0, 0.0)
        cost = self.seconds(texts) * (1 + self.jitter * self.dice.random())
        end = max(now, self.free.pop(0)) + cost
        self.free.append(end)
        return end + 0.001


@dataclass
class Crowd:
    """Callers who ask again as soon as they have an answer."""

    limit: Adaptive
    upstream: Upstream
    callers: int = 256
    texts: int = 1
    now: float = 0.0
    served: int = 0
    history: list[int] = field(default_factory=list)
    _running: list[tuple[float, int, float, int]] = field(default_factory=list)
    _begun: int = 0

    def run(self, seconds: float) -> Crowd:
        end, self.served, self.history = self.now + seconds, 0, []
        while self.now < end:
            while len(self._running) < min(self.callers, self.limit.limit):
                self._begun += 1
                call = (self.upstream.call(self.now, self.texts), self._begun, self.now)
                heapq.heappush(self._running, (*call, len(self._running) + 1))
            ended, number, begun, running = heapq.heappop(self._running)
            self.now = max(self.now, ended)
            self.served += 1
            self.limit.answered(
                begun=begun,
                ended=self.now,
                size=20 * self.texts,
                running=running,
                alone=running == 1 and number == self._begun,
            )
            self.history.append(self.limit.limit)
        return self

    @property
    def usual(self) -> float:
        """The mean of the second half."""
        half = self.history[len(self.history) // 2 :]
        return sum(half) / len(half)


def crowd(servers: int, seconds: float, *, jitter: float = 0.0, most: int = 32) -> Crowd:
    return Crowd(Adaptive(most=most), Upstream(servers, lambda _texts: seconds, jitter))


@pytest.mark.parametrize("jitter", [0.0, 0.5, 2.0])
def test_a_serial_upstream_is_given_few(jitter: float) -> None:
    assert crowd(1, 0.005, jitter=jitter).run(50).usual <= 4


@pytest.mark.parametrize("jitter", [0.0, 0.5, 2.0])
def test_sixteen_servers_are_kept_busy(jitter: float) -> None:
    found = crowd(16, 0.02, jitter=jitter).run(50)

    assert 12 <= found.usual <= 24
    assert found.served * 0.02 * (1 + jitter / 2) / 50 >= 0.75 * 16


@pytest.mark.parametrize(("jitter", "least"), [(0.0, 31), (0.5, 24)])
def test_without_a_bound_of_its_own_it_gets_the_most(jitter: float, least: int) -> None:
    assert crowd(999, 0.05, jitter=jitter).run(50).usual >= least


def test_large_calls_that_take_longer_are_no_waiting() -> None:
    found = Crowd(Adaptive(most=32), Upstream(16, lambda texts: 0.002 + 0.001 * texts))
    found.run(20)
    found.texts = 16

    assert found.run(20).usual >= 12


def test_an_upstream_that_gets_slower_or_faster_is_followed() -> None:
    found = crowd(16, 0.02)
    assert found.run(50).usual >= 12
    found.upstream.servers, found.upstream.free = 2, []
    assert found.run(130).usual <= 6
    found.upstream.servers = 16

    assert found.run(130).usual >= 12


def test_calls_that_get_quicker_are_followed() -> None:
    found = crowd(8, 0.05)
    found.run(50)
    found.upstream.seconds = lambda _texts: 0.005

    assert 6 <= found.run(130).usual <= 14


def test_learning_never_stops_the_traffic_and_is_rare_where_calls_are_long() -> None:
    found = crowd(16, 2.0)
    assert found.run(60).served >= 60 / 2.0
    found.run(3000)

    assert found.served * 2.0 / 3000 >= 0.9 * 16


def test_short_calls_in_between_do_not_make_it_forget_what_long_ones_take() -> None:
    found = Crowd(Adaptive(most=32), Upstream(1, lambda _texts: 0.005), callers=64, texts=32)
    assert found.run(20).usual <= 3
    found.callers = found.texts = 1
    found.run(5)
    found.callers, found.texts = 64, 32

    assert found.run(5).usual <= 3


@pytest.mark.parametrize("seconds", [2.0, 3.0, 10.0, 40.0])
def test_it_follows_an_upstream_whose_calls_are_long(seconds: float) -> None:
    found = crowd(16, seconds)
    found.run(40 * seconds)
    found.limit.refused(begun=found.now, ended=found.now)
    found.limit.refused(begun=found.now, ended=found.now + 0.001)
    found.run(60 * seconds)
    found.run(400 * seconds)

    assert found.served / 400 >= 0.8 * 16
    assert crowd(1, seconds).run(400 * seconds).usual <= 4


def test_refusals_that_came_together_halve_it_once() -> None:
    limit = Adaptive(most=32)
    for _ in range(8):
        limit.refused(begun=1.0, ended=2.0)
    assert 4 == limit.limit
    for later in range(3, 9):
        limit.refused(begun=later, ended=later)

    assert 1 == limit.limit


def test_a_refusal_ends_learning() -> None:
    limit = Adaptive(most=32)
    limit.answered(begun=0, ended=1, size=9, running=8, alone=False)
    assert 1 == limit.limit
    limit.refused(begun=2, ended=3)

    assert 4 == limit.limit


def test_what_is_seen_changes_only_with_the_whole_number() -> None:
    told: list[int] = []
    found = Crowd(Adaptive(most=32, told=told.append), Upstream(4, lambda _texts: 0.005))
    found.run(5)

    assert told[0] == 8
    assert all(one != other for one, other in pairwise(told))
    assert told[-1] == found.limit.limit


@given(
    st.integers(1, 40),
    st.lists(
        st.tuples(
            st.floats(1e-6, 1e3), st.integers(0, 10**7), st.integers(1, 64), st.integers(0, 2)
        ),
        max_size=120,
    ),
)
def test_it_stays_between_one_and_the_most(
    most: int, calls: list[tuple[float, int, int, int]]
) -> None:
    limit, now = Adaptive(most=most), 0.0
    for seconds, size, running, kind in calls:
        begun, now = now, now + seconds
        if kind == 2:
            limit.refused(begun=begun, ended=now)
        else:
            alone = kind == 1
            limit.answered(
                begun=begun, ended=now, size=size, running=1 if alone else running, alone=alone
            )
        assert 1 <= limit.limit <= most


@pytest.mark.parametrize("size", [100, 1000, 10_000])
def test_what_a_call_takes_alone_is_a_line(size: int) -> None:
    alone = Alone()
    for seen in (100, 2000, 300, 4000, 5000, 100, 700, 1500):
        alone.add(seen, 0.01 + seen * 1e-5)

    assert alone.known
    assert 0.01 + size * 1e-5 == pytest.approx(alone.seconds(size))


def test_it_grows_again_only_after_several_calls() -> None:
    """The first ones after a fall find little to wait for, because less was sent meanwhile."""
    limit = Adaptive(most=32)
    now = 0.0

    def call(seconds: float, running: int, *, alone: bool = False) -> int:
        nonlocal now
        now += seconds
        limit.answered(begun=now - seconds, ended=now, size=9, running=running, alone=alone)
        return limit.limit

    for _ in range(9):
        call(0.005, 8, alone=True)  # under pressure, so that it learns what one takes
    while limit.limit > 2:
        call(0.005 * limit.limit, limit.limit)
    quick = [call(0.005, 2) for _ in range(9)]

    assert [2] * 4 == quick[:4]
    assert 3 == quick[-1]
