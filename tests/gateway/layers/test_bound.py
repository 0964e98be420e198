"""Texts are cut in order, to pieces that keep within the bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.layers.bound import Bounds, utf8_size
from embedway_upstream import EmbeddingRequest, OpenAI, RerankRequest
from embedway_upstream.engines.tei import TEI

TEXTS = st.lists(st.text(max_size=2000), min_size=1, max_size=12).map(tuple)
BOUNDS = st.builds(
    Bounds,
    max_inputs=st.none() | st.integers(1, 8),
    max_bytes=st.none() | st.integers(4096 + 100, 4096 + 6000),
    max_text=st.none() | st.integers(1, 6000),
)


@given(TEXTS, BOUNDS)
def test_pieces_are_the_texts_in_order_and_within_the_bounds(
    texts: tuple[str, ...], bounds: Bounds
) -> None:
    pieces = bounds.pieces(texts)

    assert texts == sum(pieces, ())
    assert all(pieces)
    assert len(pieces[0]) == bounds.texts_that_fit(texts)
    for piece in pieces:
        body = len(OpenAI().encode(EmbeddingRequest("m", piece)))
        read = sum(map(utf8_size, piece))
        alone = len(piece) == 1
        assert bounds.max_inputs is None or len(piece) <= bounds.max_inputs
        assert alone or bounds.max_bytes is None or body <= bounds.max_bytes
        assert alone or bounds.max_text is None or read <= bounds.max_text


@given(TEXTS, st.text(max_size=500), BOUNDS)
def test_a_query_is_written_once_and_read_with_each_document(
    texts: tuple[str, ...], query: str, bounds: Bounds
) -> None:
    for piece in bounds.pieces(texts, along=query):
        body = len(TEI().encode_rerank(RerankRequest("m", query, piece)))
        read = sum(map(utf8_size, piece)) + len(piece) * utf8_size(query)
        alone = len(piece) == 1
        assert alone or bounds.max_bytes is None or body <= bounds.max_bytes
        assert alone or bounds.max_text is None or read <= bounds.max_text


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (Bounds(), [7]),
        (Bounds(max_inputs=3), [3, 3, 1]),
        (Bounds(max_inputs=7), [7]),
        (Bounds(max_text=9), [2, 2, 2, 1]),
        (Bounds(max_text=1), [1] * 7),
        (Bounds(max_bytes=4096 + 14 + 3), [2, 2, 2, 1]),
    ],
)
def test_no_more_pieces_than_needed(bounds: Bounds, expected: list[int]) -> None:
    assert expected == [len(piece) for piece in bounds.pieces(("word",) * 7)]


def test_a_long_query_takes_room_from_the_documents() -> None:
    bounds = Bounds(max_bytes=20_000)

    for piece in bounds.pieces(("word" * 100,) * 40, along="é" * 7000):
        body = TEI().encode_rerank(RerankRequest("m", "é" * 7000, piece))
        assert len(body) <= 20_000


@given(BOUNDS, BOUNDS, TEXTS)
def test_the_least_of_two_is_within_both(
    one: Bounds, other: Bounds, texts: tuple[str, ...]
) -> None:
    least = one.least(other)

    assert least == other.least(one)
    fit = least.texts_that_fit(texts)
    assert fit == min(one.texts_that_fit(texts), other.texts_that_fit(texts))


@pytest.mark.parametrize(("text", "size"), [("abc", 3), ("é", 2), ("東京", 6), ("\ud800", 3)])
def test_a_text_is_measured_as_it_is_sent(text: str, size: int) -> None:
    assert size == utf8_size(text)
