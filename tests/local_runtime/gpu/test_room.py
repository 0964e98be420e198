"""What happens where a card has too little memory for a call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from doubles.cuda_runtime import CUDA
from doubles.vectors import IDS, near
from embedway_local import CardUse, LocalEmbedder, LocalError
from embedway_local.gpu.bound import CALLERS
from embedway_local.gpu.turn import Turns


@pytest.mark.parametrize("room", [1, 2, 3])
def test_what_does_not_fit_is_computed_in_halves(
    model, expected: np.ndarray, runtime: Callable, room: int
) -> None:
    fake = runtime()
    loaded = model.load("cuda", capture=False)
    fake.faults.room = room

    near(loaded.session.run(IDS), expected)


def test_a_text_that_does_not_fit_alone_is_an_error_with_its_cure(model, runtime: Callable) -> None:
    fake = runtime()
    loaded = model.load("cuda", capture=False)
    fake.faults.room = 0

    with pytest.raises(LocalError, match=r"2 tokens .*allocate.*; lower max_tokens=, or free mem"):
        loaded.session.run(IDS)


def test_halves_have_the_card_to_themselves(
    model, expected: np.ndarray, runtime: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory may be short only because another call is under way."""
    fake = runtime()
    loaded = model.load("cuda", capture=False)
    fake.faults.room = 2
    entered, tried, order = threading.Event(), threading.Event(), []
    inner, alone = fake.on(CUDA)[0].compute, Turns.alone

    def compute(feeds: dict, ways: set) -> list:
        rows = len(feeds["ids"])
        if rows == 1:
            entered.set()
            tried.wait()
        found = inner(feeds, ways)
        order.append(rows)
        return found

    monkeypatch.setattr(fake.on(CUDA)[0], "compute", compute)
    monkeypatch.setattr(Turns, "alone", lambda turns: (tried.set(), alone(turns))[1])
    with ThreadPoolExecutor(2) as pool:
        other = pool.submit(loaded.session.run, [IDS[1]])
        entered.wait()
        ours = pool.submit(loaded.session.run, IDS)
        ours.add_done_callback(lambda _: tried.set())

        near(ours.result(), expected)
        near(other.result(), expected[1:2])
    assert [1, 2, 2] == order


def test_long_texts_are_fewer_in_a_call_where_their_attention_would_not_fit(
    model, home, runtime: Callable
) -> None:
    """Scores of 3 heads in float32, twice, in each of two calls, in half of the memory."""
    fake = runtime()
    memory = 2 * CALLERS * 2 * 4 * 3 * (2 * 20**2)
    use = CardUse(memory=memory, capture=False)
    with LocalEmbedder(model.folder, home=home, device="cuda", card=use) as embedder:
        fake.on(CUDA)[0].shapes.clear()
        embedder.embed(["a " * 30] * 6)
        for _ in range(2):
            embedder.embed(["b"])

    assert [(1, 3), (1, 3), (2, 20), (2, 20), (2, 20)] == sorted(fake.on(CUDA)[0].shapes)
