"""What failed is left alone, longer each time, and then tried by one."""

from __future__ import annotations

from doubles.time import Time
from embedway_gateway.cache.breaker import Breaker


def fail(breaker: Breaker) -> None:
    turn = breaker.enter()
    assert turn is not None
    breaker.failed(turn)


def test_it_rests_a_second_and_twice_as_long_each_time_up_to_thirty() -> None:
    time = Time()
    breaker = Breaker(clock=time)
    rests = []
    for _ in range(7):
        fail(breaker)
        begun = time.now
        while breaker.enter() is None:
            time.now += 0.5
        rests.append(time.now - begun)
        breaker.left(breaker._turn)

    assert [1, 2, 4, 8, 16, 30, 30] == rests


def test_one_tries_for_all() -> None:
    time = Time()
    breaker = Breaker(clock=time)
    fail(breaker)
    time.now += 1

    turn = breaker.enter()
    assert turn is not None
    assert breaker.enter() is None
    assert breaker.succeeded(turn)
    assert breaker.closed
    assert not breaker.succeeded(turn), "it was closed already"


def test_what_fails_side_by_side_counts_once() -> None:
    time = Time()
    breaker = Breaker(clock=time)
    turns = [breaker.enter() for _ in range(10)]
    for turn in turns:
        assert turn is not None
        breaker.failed(turn)
    time.now += 1

    assert breaker.enter() is not None


def test_an_answer_that_comes_late_does_not_close_it() -> None:
    breaker = Breaker(clock=Time())
    early, late = breaker.enter(), breaker.enter()
    assert early is not None
    assert late is not None
    breaker.failed(early)

    assert not breaker.succeeded(late)
    assert breaker.enter() is None


def test_a_try_that_was_given_up_lets_another_try() -> None:
    time = Time()
    breaker = Breaker(clock=time)
    fail(breaker)
    time.now += 1
    turn = breaker.enter()
    assert turn is not None
    breaker.left(turn)

    assert breaker.enter() is not None
