"""A text that comes alone is computed on all cores."""

import json
import multiprocessing
import sys
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from embedway_local import LocalEmbedder
from embedway_local.session import Session

REFERENCE = Path(__file__).parent / "reference"
TEXTS: list[str] = json.loads((REFERENCE / "texts.json").read_text())


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The sessions that ran, in order."""
    found: list[Session] = []
    run = Session.run

    def noted(session: Session, ids: list[list[int]]) -> np.ndarray:
        found.append(session)
        return run(session, ids)

    monkeypatch.setattr(Session, "run", noted)
    return found


@pytest.fixture
def small(tiny: Callable, home: Path) -> LocalEmbedder:
    return LocalEmbedder(tiny().folder, home=home, threads=2)


def test_the_second_lone_text_gets_a_session_of_its_own(
    small: LocalEmbedder, ran: list[Session]
) -> None:
    for _ in range(3):
        small.embed(["a b c"])
    small.embed(["a b c", "d"])

    first, second, third, fourth = ran
    assert first is small._opened.loaded.session
    assert second is third
    assert second is not first
    assert fourth is first


def test_a_long_stream_gets_the_memory_of_the_second_session(
    small: LocalEmbedder, ran: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedway_local.embedder.WINDOW", 5)
    for _ in range(2):
        small.embed(["a"])
    shared, made = ran
    list(small.embed_iter(["a b"] * 5))
    small.embed(["a"])
    assert ran[-1] is made

    list(small.embed_iter(["a b"] * 30))
    for _ in range(2):
        small.embed(["a"])

    assert ran[-2] is shared
    assert all(ran[-1] is not earlier for earlier in (shared, made))


def test_it_runs_in_the_thread_that_asks(
    small: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    monkeypatch.setattr(
        Session, "run", lambda *_: threads.append(threading.get_ident()) or np.zeros((1, 24))
    )

    small.embed(["a"])

    assert [threading.get_ident()] == threads


def test_one_thread_needs_no_second_session(tiny: Callable, home: Path, ran: list[Session]) -> None:
    made = LocalEmbedder(tiny().folder, home=home, threads=1)
    for _ in range(3):
        made.embed(["a"])

    assert 1 == len(set(map(id, ran)))


def test_a_large_model_is_not_held_twice(
    tiny: Callable, home: Path, ran: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedway_local.provider._ALONE_BYTES", 1000)
    made = LocalEmbedder(tiny().folder, home=home, threads=2)
    for _ in range(3):
        made.embed(["a"])

    assert 1 == len(set(map(id, ran)))


def test_while_others_are_served_it_waits_its_turn_among_them(
    small: LocalEmbedder, ran: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    small.embed(["a"])
    small.embed(["a"])
    inside, leave = threading.Event(), threading.Event()
    noted = Session.run

    def gated(session: Session, ids: list[list[int]]) -> np.ndarray:
        if len(ids) > 1:
            inside.set()
            leave.wait(20)
        return noted(session, ids)

    monkeypatch.setattr(Session, "run", gated)
    bulk = threading.Thread(target=small.embed, args=(["a", "b"],))
    bulk.start()
    assert inside.wait(20)

    small.embed(["c"])

    assert ran[-1] is small._opened.loaded.session
    leave.set()
    bulk.join()


def test_the_same_call_gives_the_same_bits(embedder: LocalEmbedder) -> None:
    whole = embedder.embed(TEXTS)
    for _ in range(3):
        np.testing.assert_array_equal(whole, embedder.embed(TEXTS))
    for text in TEXTS[:20]:
        first = embedder.embed([text])
        for _ in range(3):
            np.testing.assert_array_equal(first, embedder.embed([text]))


def test_both_sessions_give_the_same_bits(embedder: LocalEmbedder) -> None:
    """So it does not matter whether somebody else was being served."""
    embedder.embed(["a"])
    alone = embedder._opened.loaded.alone
    if alone is None:
        pytest.skip("this machine has one core")
    assert alone.session is not None
    ids, _ = embedder._opened.tokeniser.encode(TEXTS)
    for item in ids:
        np.testing.assert_array_equal(
            embedder._opened.loaded.session.run([item]), alone.session.run([item])
        )


def _in_child(made: LocalEmbedder, pipe: Connection) -> None:
    pipe.send([made.embed(["a b"])[0] for _ in range(3)])
    made.close()
    sys.exit(7)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_threads_that_it_has_not(small: LocalEmbedder) -> None:
    expected = small.embed(["a b"])[0]
    small.embed(["a b"])
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=_in_child, args=(small, theirs))
    child.start()

    assert ours.poll(20), "the child hangs"
    for vector in ours.recv():
        np.testing.assert_array_equal(expected, vector)
    child.join(20)
    assert 7 == child.exitcode


def test_a_closed_embedder_refuses_a_lone_text_too(small: LocalEmbedder) -> None:
    for _ in range(3):
        small.embed(["a"])
    small.close()

    with pytest.raises(RuntimeError, match="closed"):
        small.embed(["a"])
