"""An endpoint is asked from threads, without an event loop."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from doubles.engine_server import vectors_of
from doubles.engine_tei import TEI
from doubles.serving import served
from embedway_gateway.place.blocking import blocking
from embedway_gateway.place.error import PlaceError
from embedway_upstream import BadVector


def test_threads_get_each_their_own_vectors() -> None:
    texts = [[f"text {thread} {n}" for n in range(40)] for thread in range(4)]
    with (
        served(TEI()) as address,
        blocking(f"tei+{address}") as embedder,
        ThreadPoolExecutor(4) as pool,
    ):
        found = list(pool.map(embedder.embed, texts))

    for rows, whole in zip(found, texts, strict=True):
        np.testing.assert_allclose(rows, vectors_of(whole, model="model"), atol=1e-6)


def test_a_text_that_is_refused_is_an_error_and_no_row() -> None:
    server = TEI(max_input_length=8, auto_truncate=False)
    with served(server) as address, blocking(f"tei+{address},label=up") as embedder:
        with pytest.raises(PlaceError, match="up refused 1 of 2 texts as too long"):
            embedder.embed(["short", "word " * 20])
        assert embedder.embed(["short"]).shape == (1, 8)


def test_a_text_without_a_vector_is_named_by_its_index_among_all() -> None:
    class Lacking(TEI):
        def vectors(self, texts: Sequence[str]) -> Any:
            return super().vectors(texts) * np.array([[text != "bad"] for text in texts])

    texts = [*(f"text {n}" for n in range(50)), "bad"]
    with (
        served(Lacking()) as address,
        blocking(f"tei+{address}") as embedder,
        pytest.raises(BadVector, match="vector of zeros for the text at index 50"),
    ):
        embedder.embed(texts)


def test_an_endpoint_that_cannot_be_opened_leaves_no_thread() -> None:
    with pytest.raises(PlaceError, match="is no endpoint"), blocking("nonsense"):
        pytest.fail("it was opened")
