"""`embed_iter`: any number of texts in constant memory."""

import itertools
import json
import multiprocessing
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from embedway_local import LocalEmbedder, LocalError
from embedway_local.machine import usable_cores
from embedway_local.session import Session
from embedway_local.stream import stream

REFERENCE = Path(__file__).parent / "reference"
TEXTS: list[str] = json.loads((REFERENCE / "texts.json").read_text())
VECTORS = np.load(REFERENCE / "vectors.npy")


@pytest.fixture
def small(tiny: Callable, home: Path) -> Iterator[LocalEmbedder]:
    with LocalEmbedder(tiny().folder, home=home) as made:
        yield made


def many(count: int) -> list[str]:
    """Texts of all lengths."""
    return [" ".join("abcdefghijklmnop"[: index % 17]) for index in range(count)]


def test_the_vectors_are_those_of_embed_in_order(embedder: LocalEmbedder) -> None:
    found = list(embedder.embed_iter(iter(TEXTS)))

    assert {(384,)} == {vector.shape for vector in found}
    np.testing.assert_allclose(found, VECTORS, rtol=0, atol=1e-5)


def test_many_windows_keep_their_order(
    small: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = many(300)
    monkeypatch.setattr("embedway_local.embedder.WINDOW", 7)

    found = np.array(list(small.embed_iter(texts)))

    np.testing.assert_allclose(found, small.embed(texts), rtol=0, atol=1e-6)


def test_no_more_texts_are_drawn_than_the_vectors_need(
    small: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedway_local.embedder.WINDOW", 5)
    numbers = itertools.count()
    vectors = small.embed_iter("a b c" for _ in numbers)
    drawn_before = next(numbers)

    for _ in range(23):
        next(vectors)

    assert 0 == drawn_before
    # Three windows ahead of the one that the vectors come from, which is the fifth.
    assert next(numbers) <= 1 + 5 * 8
    vectors.close()


def test_of_long_texts_fewer_are_drawn() -> None:
    numbers = itertools.count()
    long = "x" * 500_000

    def embed(texts: list[str], _first: int, _stopped: Callable[[], bool]) -> np.ndarray:
        return np.zeros((len(texts), 3), dtype=np.float32)

    with closing(stream((long for _ in numbers), embed, window=2048)) as vectors:
        for _ in range(50):
            next(vectors)

    # Up to three windows ahead of their own, each of some two million characters.
    assert next(numbers) <= 50 + 4 * 5


def test_a_vector_that_is_kept_keeps_no_other(small: LocalEmbedder) -> None:
    assert all(vector.base is None for vector in small.embed_iter(many(300)))


def test_the_texts_are_drawn_in_the_thread_that_asks(small: LocalEmbedder) -> None:
    threads = set()

    def texts() -> Iterator[str]:
        for _ in range(3000):
            threads.add(threading.get_ident())
            yield "a"

    assert 3000 == sum(1 for _ in small.embed_iter(texts()))
    assert {threading.get_ident()} == threads


def test_closing_tells_the_windows_that_are_under_way_and_waits_for_them() -> None:
    begun, ended = threading.Event(), threading.Event()

    def embed(texts: list[str], first: int, stopped: Callable[[], bool]) -> np.ndarray:
        if first > 0:
            begun.set()
            # Ends at once when it is told, and else in time for the test to fail.
            for _ in range(2000):
                if stopped():
                    ended.set()
                    break
                ended.wait(0.005)
        return np.zeros((len(texts), 3), dtype=np.float32)

    vectors = stream(["a"] * 10_000, embed, window=64)
    next(vectors)
    assert begun.wait(20)
    assert not ended.is_set()

    vectors.close()

    assert ended.is_set()
    assert not any(thread.name.startswith("embedway-stream") for thread in threading.enumerate())


def test_what_was_told_to_stop_begins_no_further_batch(
    small: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []
    run = Session.run
    monkeypatch.setattr(Session, "run", lambda *all_: runs.append(1) or run(*all_))
    # One text a batch.
    monkeypatch.setattr("embedway_local.call.even_share", lambda *_: 1)

    small._call("", stopped=lambda: len(runs) >= 10).run(many(1000))

    assert 10 <= len(runs) <= 10 + 2 * usable_cores()
    assert not small._opened.workers.busy


def test_an_error_comes_where_its_text_would_and_ends_the_stream(small: LocalEmbedder) -> None:
    vectors = small.embed_iter(["a"] * 1000 + ["\ud800"])
    found = []

    with pytest.raises(ValueError, match="text 1000 has a lone surrogate"):
        found.extend(vectors)

    # Those of the windows before it.
    assert 128 + 256 + 512 == len(found)
    assert [] == list(vectors)
    assert not small._opened.workers.busy


def test_an_error_of_the_texts_own_source_passes_through(small: LocalEmbedder) -> None:
    def texts() -> Iterator[str]:
        yield from ["a"] * 500
        raise OSError("the disk")

    with pytest.raises(OSError, match="the disk"):
        list(small.embed_iter(texts()))
    assert not small._opened.workers.busy


def test_an_error_of_the_device_passes_through(
    small: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object) -> None:
        raise LocalError("out of memory")

    monkeypatch.setattr(Session, "run", run)

    with pytest.raises(LocalError, match="out of memory"):
        next(small.embed_iter(many(3000)))


def test_wrong_arguments_are_told_at_once(small: LocalEmbedder) -> None:
    with pytest.raises(TypeError, match="give a list"):
        small.embed_iter("a text")
    with pytest.raises(ValueError, match="'passage'"):
        small.embed_iter(["a"], input_type="passage")


def test_prompts_stand_before_each_text(tiny: Callable, home: Path) -> None:
    made = LocalEmbedder(tiny().folder, home=home, prompts={"query": "x "})

    found = list(made.embed_iter(["a", "b"], input_type="query"))

    np.testing.assert_array_equal(made.embed(["x a", "x b"]), found)


def test_nothing_gives_nothing(small: LocalEmbedder) -> None:
    assert [] == list(small.embed_iter([]))


def _go_on(vectors: Iterator[np.ndarray], pipe: Connection) -> None:
    try:
        list(vectors)
    except RuntimeError as error:
        pipe.send(str(error))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_stream_does_not_hang_in_a_forked_child(small: LocalEmbedder) -> None:
    vectors = small.embed_iter(many(5000))
    next(vectors)
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=_go_on, args=(vectors, theirs))
    child.start()

    assert ours.poll(20), "the child hangs"
    assert "forked child" in ours.recv()
    child.join(20)
    vectors.close()


_MEMORY = """
import itertools, sys
from pathlib import Path
from embedway_local import LocalEmbedder

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0])

with LocalEmbedder(sys.argv[1], home=Path(sys.argv[2])) as made:
    {use}
"""
_STREAM = """
    texts = (f"a b c d e {number}" for number in itertools.count())
    vectors = made.embed_iter(texts)
    for _ in itertools.islice(vectors, 20_000):
        pass
    before = peak()
    for _ in itertools.islice(vectors, 60_000):
        pass
    print(peak() - before)
"""
_LONG = """
    made.embed(["a b " * 500] * 16)
    before = peak()
    made.embed(["a b " * 500] * 1000)
    print(peak() - before)
"""


def grown(use: str, folder: Path, home: Path) -> int:
    """By how many KiB the most memory that a process has had grows in the second part of `use`."""
    command = [sys.executable, "-c", _MEMORY.format(use=use.strip()), str(folder), str(home)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory_does_not_grow_with_the_stream(tiny: Callable, home: Path) -> None:
    # 60,000 vectors and their texts would be 12 MB.
    assert grown(_STREAM, tiny().folder, home) < 4096


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_what_is_cut_of_long_texts_takes_no_memory(tiny: Callable, home: Path) -> None:
    # A million tokens would be more than 100 MB, were they all there at once.
    assert grown(_LONG, tiny().folder, home) < 32 * 1024
