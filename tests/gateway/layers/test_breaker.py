"""When an upstream is left alone, and how it is found to be well again."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from embedway_gateway.layers.breaker import Breaker, BreakerState, Patience

PATIENCE = Patience(failures=3, rest=5.0, longest=300.0)


def opened(breaker: Breaker, now: float) -> float:
    """Opens it; gives for how long."""
    breaker.failed(now, now, at_once=True)
    assert breaker.open_until is not None
    return breaker.open_until - now


def test_so_many_failures_in_a_row_open_it() -> None:
    breaker = Breaker(PATIENCE, jitter=lambda: 1.0)
    breaker.failed(1, 2)
    breaker.failed(1, 2)
    breaker.answered(2)
    for _ in range(2):
        breaker.failed(2, 3)

    assert "closed" == breaker.state(3)

    breaker.failed(3, 4)

    assert "open" == breaker.state(4)
    assert not breaker.may_pass(8.9)
    assert "half-open" == breaker.state(9)
    assert breaker.may_pass(9)


def test_one_failure_to_connect_opens_it() -> None:
    breaker = Breaker(PATIENCE)
    breaker.failed(1, 1, at_once=True)

    assert "open" == breaker.state(1)


@pytest.mark.parametrize(("jitter", "share"), [(0.0, 0.5), (1.0, 1.0)])
def test_rest_doubles_to_its_longest_and_half_of_it_is_certain(jitter: float, share: float) -> None:
    breaker, now, rests = Breaker(PATIENCE, jitter=lambda: jitter), 0.0, []
    rests.append(opened(breaker, now))
    for _ in range(8):
        now += rests[-1]
        probe = breaker.passed(now)
        breaker.failed(now, now, probe=probe)
        assert breaker.open_until is not None
        rests.append(breaker.open_until - now)

    assert [share * rest for rest in (5, 10, 20, 40, 80, 160, 300, 300, 300)] == rests


def test_a_success_forgets_how_often_it_opened() -> None:
    breaker = Breaker(PATIENCE, jitter=lambda: 1.0)
    opened(breaker, 0)
    probe = breaker.passed(5)
    breaker.failed(5, 5, probe=probe)
    breaker.passed(15)
    breaker.answered(15)

    assert "closed" == breaker.state(15)
    assert 5.0 == opened(breaker, 16)


def test_what_began_before_it_opened_neither_closes_nor_lengthens_it() -> None:
    breaker = Breaker(PATIENCE, jitter=lambda: 1.0)
    opened(breaker, 10)
    until = breaker.open_until
    breaker.answered(9)
    for _ in range(9):
        breaker.failed(9, 11)

    assert until == breaker.open_until


def test_what_began_before_it_closed_does_not_open_it() -> None:
    breaker = Breaker(PATIENCE)
    opened(breaker, 0)
    breaker.passed(5)
    breaker.answered(5)
    for _ in range(9):
        breaker.failed(4, 6)

    assert "closed" == breaker.state(6)


def test_a_success_while_all_rest_closes_it() -> None:
    breaker = Breaker(PATIENCE)
    opened(breaker, 0)
    assert 0 == breaker.passed(1)
    breaker.answered(1)

    assert "closed" == breaker.state(1)


def test_a_probe_that_was_given_up_makes_room_for_another() -> None:
    breaker = Breaker(PATIENCE, jitter=lambda: 1.0)
    opened(breaker, 0)
    probe = breaker.passed(5)
    assert not breaker.may_pass(5)
    breaker.undecided(0)
    assert not breaker.may_pass(5)

    breaker.undecided(probe)

    assert breaker.may_pass(5)


def test_those_that_were_outrun_together_are_one_failure() -> None:
    breaker = Breaker(PATIENCE)
    for _ in range(9):
        breaker.outrun(1, 2)
    assert "closed" == breaker.state(2)
    breaker.outrun(2, 3)
    breaker.outrun(3, 4)

    assert "open" == breaker.state(4)


def test_news_from_elsewhere_let_the_probe_go_at_once() -> None:
    breaker = Breaker(PATIENCE, jitter=lambda: 1.0)
    breaker.try_now(0)
    assert "closed" == breaker.state(0)
    opened(breaker, 0)
    breaker.try_now(1)

    assert "half-open" == breaker.state(1)


def test_changes_are_told() -> None:
    told: list[BreakerState] = []
    breaker = Breaker(PATIENCE, jitter=lambda: 1.0, told=told.append)
    opened(breaker, 0)
    breaker.passed(5)
    breaker.answered(5)

    assert ["closed", "open", "half-open", "closed"] == told


class BreakerMachine(RuleBasedStateMachine):
    """Calls of any order and length, some of which are sent because all others rest, too."""

    @initialize(jitter=st.floats(0, 1))
    def begin(self, jitter: float) -> None:
        self.breaker = Breaker(PATIENCE, jitter=lambda: jitter)
        self.now = 0.0
        self.running: list[tuple[float, int]] = []
        self.probing: set[int] = set()

    @rule(seconds=st.sampled_from([0.5, 2.5, 10.0, 400.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(forced=st.booleans())
    def send(self, forced: bool) -> None:
        allowed = self.breaker.may_pass(self.now)
        if allowed or forced:
            probe = self.breaker.passed(self.now)
            self.running.append((self.now, probe))
            self.probing |= {probe} - {0}
        # Later than the last, so that what is older can be told.
        self.now += 0.001

    @precondition(lambda self: self.running)
    @rule(data=st.data(), how=st.sampled_from(["answered", "failed", "gone", "dead", "outrun"]))
    def end(self, data: st.DataObject, how: str) -> None:
        begun, probe = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        before = self.breaker.open_until
        match how:
            case "answered":
                self.breaker.answered(begun)
                assert self.breaker.open_until in (None, before)
            case "gone":
                self.breaker.undecided(probe)
                assert before == self.breaker.open_until
            case "outrun":
                self.breaker.outrun(begun, self.now, probe=probe)
            case _:
                self.breaker.failed(begun, self.now, at_once=how == "dead", probe=probe)
        self.probing.discard(probe)
        until = self.breaker.open_until
        if until != before:
            # The probe of an earlier opening tells nothing any more.
            self.probing.clear()
        if until is not None and until != before:
            assert 2.5 <= until - self.now <= 300.0
        self.now += 0.001

    @rule()
    def hear(self) -> None:
        self.breaker.try_now(self.now)

    @invariant()
    def there_is_one_probe_at_most(self) -> None:
        assert len(self.probing) <= 1
        match self.breaker.state(self.now):
            case "closed":
                assert self.breaker.may_pass(self.now)
            case "open":
                assert not self.breaker.may_pass(self.now)
            case "half-open":
                assert self.breaker.may_pass(self.now) == (not self.probing)


TestBreakerMachine = BreakerMachine.TestCase
