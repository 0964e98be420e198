"""The bucket, by a simulated clock: what passes in any time is what the limit allows."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedway_gateway.quota.allowance import Allowance
from embedway_gateway.quota.local import LocalQuota
from embedway_gateway.quota.meter import Meter, Seats, counted, remaining
from embedway_gateway.quota.quota import Demand, Verdict


@dataclass
class World:
    """A quota, and the time that it sees."""

    now: float = 1000.0
    quota: LocalQuota = field(init=False)

    def __post_init__(self) -> None:
        self.quota = LocalQuota(clock=lambda: self.now)

    def ask(self, meter: Meter, amount: int = 1) -> Verdict:
        return self.quota.admit_now(Demand((meter,), (amount,), ()))


limits = st.integers(1, 10_000)
# Pauses between requests, and how much each asks for, as a share of the limit.
visits = st.lists(st.tuples(st.floats(0, 90), st.floats(0, 1)), max_size=60)


@given(limits, visits)
def test_in_any_time_no_more_passes_than_a_full_bucket_and_what_refills_it(
    limit: int, steps: list[tuple[float, float]]
) -> None:
    world, meter = World(), Meter("m", "tokens", limit)
    passed: list[tuple[float, int]] = []
    for pause, share in steps:
        world.now += pause
        amount = max(1, int(share * limit))
        if world.ask(meter, amount).blocker is None:
            passed.append((world.now, amount))

    for first, (begin, _) in enumerate(passed):
        for last in range(first, len(passed)):
            total = sum(amount for _, amount in passed[first : last + 1])
            span = passed[last][0] - begin
            assert total <= limit * (1 + span / 60) + 1e-6 * limit + 1e-6


@given(limits, visits)
def test_whoever_waits_as_long_as_was_said_is_admitted_and_not_a_moment_sooner(
    limit: int, steps: list[tuple[float, float]]
) -> None:
    world, meter = World(), Meter("m", "tokens", limit)
    for pause, share in steps:
        world.now += pause
        amount = max(1, int(share * limit))
        verdict = world.ask(meter, amount)
        if verdict.blocker is None:
            continue
        begun = world.now
        world.now = begun + verdict.wait * 0.99
        if verdict.wait > 1e-3:
            assert world.ask(meter, amount).blocker is not None
        world.now = begun + verdict.wait + 1e-6
        assert world.ask(meter, amount).blocker is None


@given(limits, st.lists(st.integers(1, 500), min_size=1, max_size=20), st.integers(0, 500))
def test_a_correction_is_as_if_the_truth_had_been_asked_for(
    limit: int, guesses: list[int], truth: int
) -> None:
    """As long as the bucket is not full in between, where there is nothing to give back."""
    meter = Meter("m", "tokens", 100_000 + limit)
    guessed, known = World(), World()
    for guess in guesses:
        demand = Demand((meter,), (guess,), ())
        guessed.quota.settle(demand, guessed.quota.admit_now(demand), [truth - guess])
        known.ask(meter, truth)
        at = guessed.quota._full_at["m"]
        assert at == pytest.approx(max(known.quota._full_at.get("m", 0), guessed.now), abs=1e-6)


@given(limits, st.integers(1, 100_000))
def test_debt_is_paid_back_before_anything_passes(limit: int, more: int) -> None:
    world, meter = World(), Meter("m", "tokens", limit)
    demand = Demand((meter,), (1,), ())
    world.quota.settle(demand, world.quota.admit_now(demand), [more])
    owed = max(0, 1 + more + 1 - limit)
    world.now += owed * 60 / limit - 1e-3
    if owed > 1e-3 * limit / 60:
        assert world.ask(meter).blocker is not None
    world.now += 2e-3
    assert world.ask(meter).blocker is None


@given(st.lists(st.sampled_from(["enter", "leave"]), max_size=60), st.integers(1, 5))
def test_seats_are_never_more_than_there_are_and_never_lost(steps: list[str], most: int) -> None:
    world, demand = World(), Demand((), (), (Seats("s", most),))
    inside: list[Verdict] = []
    for step in steps:
        if step == "enter":
            verdict = world.quota.admit_now(demand)
            assert (verdict.blocker is None) == (len(inside) < most)
            if verdict.blocker is None:
                inside.append(verdict)
        elif inside:
            world.quota.settle(demand, inside.pop(), [])
        assert len(inside) <= most


def test_all_or_nothing_is_taken() -> None:
    world = World()
    wide, narrow = Meter("wide", "requests", 100), Meter("narrow", "tokens", 10)
    both = Demand((wide, narrow), (1, 6), (Seats("s", 9),))
    assert world.quota.admit_now(both).blocker is None
    for _ in range(5):
        refused = world.quota.admit_now(both)
        assert refused.blocker == narrow
        assert refused.wait == pytest.approx(12.0)

    assert remaining(wide, world.ask(wide, 1).resets[0]) == 98
    assert world.quota._taken == {"s": 1}


def test_more_than_a_minute_holds_is_never_admitted() -> None:
    world, meter = World(), Meter("m", "texts", 10)

    assert world.ask(meter, 11).blocker == meter
    assert world.ask(meter, 10).blocker is None


@settings(max_examples=20)
@given(st.integers(1, 10**9))
def test_what_is_left_and_what_was_taken_add_up(limit: int) -> None:
    world, meter = World(), Meter("m", "requests", limit)
    taken = 0
    for amount in (1, limit // 3, limit // 7):
        verdict = world.ask(meter, amount)
        taken += amount
        assert remaining(meter, verdict.resets[0]) == pytest.approx(limit - taken, abs=1)


def test_meters_that_are_full_again_are_forgotten() -> None:
    world = World()
    for number in range(4096):
        world.ask(Meter(f"m{number}", "requests", 1000))
    world.now += 60
    world.ask(Meter("last", "requests", 1000))

    assert list(world.quota._full_at) == ["last"]


def test_only_what_is_limited_is_counted() -> None:
    assert counted("x", Allowance()) == ((), ())
    meters, seats = counted("x", Allowance(rpm=5, max_concurrency=2))
    assert [(meter.name, meter.limit) for meter in meters] == [("x:requests", 5)]
    assert seats == (Seats("x:seats", 2),)
