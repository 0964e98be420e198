"""Captures are alone in the process, and everything else waits no longer than it must."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from doubles.vectors import IDS, near
from embedway_local.gpu.turn import CAPTURES, Turns


@pytest.mark.parametrize(
    ("device", "fault", "options"),
    [
        ("cuda", set(), {"capture": False}),
        ("cuda", {"bound"}, {"capture": False}),
        ("cuda", set(), {}),
        ("tensorrt", set(), {"precision": "fp16"}),
        (None, set(), {}),
    ],
    ids=["buffers that stay", "session", "captured", "tensorrt", "a session that is made"],
)
def test_while_a_query_is_captured_nothing_else_uses_a_card(
    model, expected, runtime, monkeypatch, caplog, device: str | None, fault: set, options: dict
) -> None:
    fake = runtime(raises=fault)
    other = model.load(device, **options) if device else None
    fake.faults.raises = set()
    caplog.clear()
    ready = threading.Event()
    inner = Turns.shared
    monkeypatch.setattr(Turns, "shared", lambda turns, **how: (ready.set(), inner(turns, **how))[1])
    pool = ThreadPoolExecutor(1)
    found = []

    def beside() -> None:
        ready.clear()
        found.append(
            pool.submit(lambda: (other or model.load("cuda", capture=False)).session.run([IDS[1]]))
        )
        found[0].add_done_callback(lambda _: ready.set())
        ready.wait()

    fake.faults.capturing = beside
    model.load("cuda")

    with pool:
        near(found[0].result(), expected[1:2])
    assert not any("does without" in line for line in caplog.messages)


def test_a_capture_that_waits_for_an_engine_to_be_built_lets_calls_go_on() -> None:
    turns = Turns()
    begun = threading.Event()

    def alone() -> None:
        begun.set()
        with turns.alone():
            pass

    def call() -> None:
        for _ in range(1000):
            with turns.shared():
                pass

    threads = [threading.Thread(target=target, daemon=True) for target in (alone, call)]
    with turns.shared(slow=True):
        threads[0].start()
        begun.wait()
        threads[1].start()
        threads[1].join(30)
        assert not threads[1].is_alive()
        assert threads[0].is_alive()
    threads[0].join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_that_is_forked_during_a_capture_does_not_wait_for_it() -> None:
    with CAPTURES.alone():
        child = os.fork()
        if not child:
            with CAPTURES.shared():
                os._exit(7)
        assert 7 == os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
