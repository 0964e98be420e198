"""Intervals and tests are those that scipy computes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from embedway_gateway.evaluation.significance import difference, estimate

CHANCE = np.random.default_rng(7)
OLD = CHANCE.uniform(size=80)
NEW = np.clip(OLD + CHANCE.normal(0.04, 0.15, 80), 0, 1)


def test_the_interval_is_scipys() -> None:
    found = estimate(OLD)
    theirs = stats.bootstrap((OLD,), np.mean, method="percentile", rng=1).confidence_interval

    assert found.mean == pytest.approx(OLD.mean())
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.005)


def test_the_paired_test_is_scipys() -> None:
    theirs = stats.permutation_test(
        (NEW - OLD,), np.mean, permutation_type="samples", n_resamples=9999, rng=1
    )

    found = difference(OLD, NEW)

    assert found.p == pytest.approx(theirs.pvalue, abs=0.015)
    assert found.mean.mean == pytest.approx((NEW - OLD).mean())
    assert found.better + found.worse + found.equal == 80


def test_nothing_between_equals_is_certain_to_be_chance() -> None:
    found = difference(OLD, OLD.copy())

    assert (found.p, found.better, found.worse, found.equal) == (1.0, 0, 0, 80)
    assert (found.mean.low, found.mean.high) == (0, 0)


def test_what_is_always_better_is_more_than_chance() -> None:
    found = difference(OLD, OLD + 0.01)

    assert found.p < 0.001
    assert found.mean.low > 0


def test_one_query_proves_nothing() -> None:
    assert difference(np.zeros(1), np.ones(1)).p == 1
    assert estimate(np.ones(1)).low == 1


def test_the_same_seed_gives_the_same() -> None:
    assert estimate(OLD, seed=3) == estimate(OLD, seed=3)
    assert estimate(OLD, seed=3) != estimate(OLD, seed=4)
