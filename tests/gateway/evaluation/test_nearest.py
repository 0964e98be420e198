"""The search is exact, in whatever blocks the passages come."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from embedway_gateway.evaluation.nearest import Nearest


def rows(seed: int, count: int, *, kinds: int | None = None) -> NDArray[np.float32]:
    """Of small whole numbers, so that many scores are equal, and equally computed."""
    chance = np.random.default_rng(seed)
    found = chance.integers(-1, 2, (kinds or count, 4)).astype(np.float32)
    found[:, 0] += 2
    return found[chance.integers(0, len(found), count)] if kinds else found


def searched(
    queries: NDArray[np.float32],
    passages: NDArray[np.float32],
    order: NDArray[np.int64],
    *,
    most: int,
    block: int,
) -> tuple[list[list[int]], list[list[float]]]:
    nearest = Nearest(queries, order, most=most)
    for start in range(0, len(passages), block):
        nearest.add(passages[start : start + block], start)
    places, scores = nearest.ranked()
    return [row.tolist() for row in places], [row.tolist() for row in scores]


@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 40),
    asked=st.integers(1, 5),
    most=st.integers(1, 50),
    block=st.integers(1, 40),
)
def test_it_finds_what_sorting_everything_finds(
    seed: int, count: int, asked: int, most: int, block: int
) -> None:
    queries, passages = rows(seed, asked), rows(seed + 1, count, kinds=6)
    order = np.random.default_rng(seed).permutation(count)
    long = np.linalg.norm(queries.astype(float), axis=1)[:, None]
    wide = np.linalg.norm(passages.astype(float), axis=1)
    cosines = queries.astype(float) @ passages.T.astype(float) / long / wide

    places, scores = searched(queries, passages, order, most=most, block=block)

    for row, found, told in zip(cosines, places, scores, strict=True):
        assert len(found) == min(most, count)
        assert sorted(told, reverse=True) == told
        by_place = dict(zip(order.tolist(), row.tolist(), strict=True))
        np.testing.assert_allclose([by_place[place] for place in found], told, atol=1e-6)
        best = sorted(row, reverse=True)[: len(found)]
        np.testing.assert_allclose(told, best, atol=1e-6)


@given(block=st.integers(1, 9), most=st.integers(1, 9))
def test_of_equal_scores_the_greater_id_comes_first(block: int, most: int) -> None:
    passages = np.tile(np.asarray([[1, 0]], np.float32), (9, 1))
    order = np.asarray([4, 0, 8, 2, 7, 1, 3, 6, 5])

    places, _ = searched(passages[:1], passages, order, most=most, block=block)

    assert places == [[8, 7, 6, 5, 4, 3, 2, 1, 0][:most]]


def test_what_points_the_other_way_comes_last() -> None:
    passages = np.asarray([[-1, 0], [0, 1], [1, 0], [-1, 1], [0, -1]], np.float32)

    places, scores = searched(passages[2:3], passages, np.arange(5), most=5, block=2)

    assert places == [[2, 4, 1, 3, 0]]
    np.testing.assert_allclose(scores, [[1, 0, 0, -(0.5**0.5), -1]], atol=1e-6)


def test_what_has_no_vector_is_not_found_and_finds_nothing() -> None:
    vectors = np.asarray([[1, 0], [np.nan, np.nan], [0, 1]], np.float32)

    places, _ = searched(vectors, vectors, np.arange(3), most=3, block=2)

    assert places == [[0, 2], [], [2, 0]]


def test_many_queries_are_searched_a_part_at_a_time() -> None:
    chance = np.random.default_rng(1)
    queries, passages = chance.normal(size=(3000, 8)), chance.normal(size=(5000, 8))

    places, _ = searched(
        queries.astype(np.float32),
        passages.astype(np.float32),
        np.arange(5000),
        most=1,
        block=5000,
    )

    unit = passages / np.linalg.norm(passages, axis=1, keepdims=True)
    assert [row[0] for row in places] == np.argmax(queries @ unit.T, axis=1).tolist()
