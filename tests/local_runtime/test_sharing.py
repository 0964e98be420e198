"""One embedder in many threads and processes."""

import json
import multiprocessing
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from embedway_local import LocalEmbedder
from embedway_local.machine import usable_cores

REFERENCE = Path(__file__).parent / "reference"
TEXTS: list[str] = json.loads((REFERENCE / "texts.json").read_text())
VECTORS = np.load(REFERENCE / "vectors.npy")


def workers_since(before: set[int | None]) -> int:
    return sum(
        thread.name.startswith("embedway-local") and thread.ident not in before
        for thread in threading.enumerate()
    )


def test_many_threads_get_what_one_gets_and_share_the_cores(model_in_store: str) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    random = np.random.default_rng(3)
    choices = [random.integers(0, len(TEXTS), size=random.integers(1, 20)) for _ in range(24)]

    with LocalEmbedder(model_in_store) as made, ThreadPoolExecutor(8) as pool:

        def one(chosen: np.ndarray) -> tuple[np.ndarray, int]:
            return made.embed([TEXTS[index] for index in chosen]), workers_since(before)

        found = list(pool.map(one, choices, timeout=60))

    for chosen, (vectors, workers) in zip(choices, found, strict=True):
        np.testing.assert_allclose(vectors, VECTORS[chosen], rtol=0, atol=1e-6)
        assert workers <= usable_cores()


def test_threads_bounds_the_workers(tiny: Callable, home: Path) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    made = LocalEmbedder(tiny().folder, home=home, threads=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: made.embed(["a b c"] * 300), range(4)))

    assert 1 == workers_since(before)


def test_one_text_does_not_wait_behind_all_of_a_bulk(embedder: LocalEmbedder) -> None:
    bulk = threading.Thread(target=embedder.embed, args=(["word " * 200] * 60,))
    begun = time.monotonic()
    bulk.start()
    time.sleep(0.1)
    asked = time.monotonic()
    embedder.embed(["a query"])
    waited = time.monotonic() - asked
    bulk.join()

    assert waited < (time.monotonic() - begun) / 4


def _in_child(made: LocalEmbedder, pipe: Connection) -> None:
    pipe.send((made.embed(TEXTS[:8]), made._opened.pid == os.getpid()))
    made.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on(embedder: LocalEmbedder, busy: bool) -> None:
    """Also when another thread was inside the runtime, and held its locks, at that moment."""
    embedder.embed(["used before"])
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            embedder.embed(TEXTS[20:40])

    threads = [threading.Thread(target=keep_busy) for _ in range(2 * busy)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            ours, theirs = multiprocessing.get_context("fork").Pipe()
            child = multiprocessing.get_context("fork").Process(
                target=_in_child, args=(embedder, theirs)
            )
            child.start()
            assert ours.poll(20), "the child hangs"
            vectors, opened_again = ours.recv()
            child.join(20)

            np.testing.assert_allclose(vectors, VECTORS[:8], rtol=0, atol=1e-6)
            assert busy == opened_again
            assert 0 == child.exitcode
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_pickled_embedder_is_opened_again(tiny: Callable, home: Path) -> None:
    made = LocalEmbedder(
        tiny().folder, home=home, pooling="cls", max_tokens=9, prompts={"query": "q "}, threads=1
    )

    again = pickle.loads(pickle.dumps(made))

    assert made.space == again.space
    np.testing.assert_array_equal(
        made.embed(["a b"], input_type="query"), again.embed(["a b"], input_type="query")
    )


def test_a_closed_embedder_refuses(tiny: Callable, home: Path) -> None:
    with LocalEmbedder(tiny().folder, home=home) as made:
        made.embed(["a"])

    with pytest.raises(RuntimeError, match="closed"):
        made.embed(["a"])
    made.close()
