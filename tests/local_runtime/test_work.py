import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedway_local.work import Workers


def test_every_job_is_run_and_never_more_than_count_at_once() -> None:
    workers, done, now, most = Workers(3), [], set(), []

    def job(number: int) -> None:
        now.add(number)
        most.append(len(now))
        time.sleep(0.002)
        now.discard(number)
        done.append(number)

    with ThreadPoolExecutor(5) as callers:
        list(
            callers.map(
                lambda first: workers.each([lambda n=n: job(n) for n in range(first, first + 20)]),
                range(0, 100, 20),
            )
        )
    workers.close()

    assert list(range(100)) == sorted(done)
    assert 3 == max(most)


def test_the_first_error_is_raised_bare_and_later_jobs_are_dropped() -> None:
    workers, done = Workers(1), []

    def fail() -> None:
        raise KeyError("first")

    def jobs():
        for number in range(1000):
            yield fail if number == 3 else lambda n=number: done.append(n)

    with pytest.raises(KeyError, match="first"):
        workers.each(jobs())

    assert len(done) < 10
    assert not workers.busy


def test_an_error_while_jobs_are_made_is_raised_too() -> None:
    workers = Workers(2)

    def jobs():
        yield lambda: None
        raise ValueError("made")

    with pytest.raises(ValueError, match="made"):
        workers.each(jobs())

    assert not workers.busy


def test_few_jobs_are_queued_so_that_other_callers_get_their_turn() -> None:
    workers, made, gate = Workers(2), [], threading.Event()

    def jobs():
        for number in range(100):
            made.append(number)
            yield gate.wait

    caller = threading.Thread(target=workers.each, args=(jobs(),))
    caller.start()
    time.sleep(0.05)
    queued = len(made)
    assert workers.busy
    gate.set()
    caller.join()

    assert queued <= 4
    assert 100 == len(made)


def test_closed_workers_refuse() -> None:
    workers = Workers(1)
    workers.each([lambda: None])
    workers.close()

    with pytest.raises(RuntimeError, match="closed"):
        workers.each([])
