"""Measures are those of trec_eval, which BEIR and MTEB use too."""

from __future__ import annotations

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.evaluation.measure import MEASURES, Measure, parse_measures, score

# Ours, and trec_eval's.
NAMES = {"ndcg": "ndcg_cut", "recall": "recall", "map": "map_cut", "precision": "P"}
CUTS = (1, 3, 10)

passages = st.text("abcdéß", min_size=1, max_size=3)
judgements = st.dictionaries(passages, st.integers(-1, 3), min_size=1, max_size=12)
# Few values: many are equal.
rankings = st.dictionaries(passages, st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1)


def ranked(found: dict[str, float]) -> list[str]:
    return sorted(found, key=lambda name: (found[name], name), reverse=True)


@given(judged=judgements, found=rankings)
def test_every_measure_is_trec_evals(judged: dict[str, int], found: dict[str, float]) -> None:
    """With graded and negative judgements, and equal scores."""
    cuts = ",".join(map(str, CUTS))
    asked = {f"{name}.{cuts}" for name in NAMES.values()} | {f"success.{cuts}", "recip_rank"}
    theirs = pytrec_eval.RelevanceEvaluator({"q": judged}, asked).evaluate({"q": found})["q"]
    order = ranked(found)

    for at in CUTS:
        for ours, name in {**NAMES, "hits": "success"}.items():
            mine = score(Measure(ours, at), order, judged)
            assert mine == pytest.approx(theirs[f"{name}_{at}"], abs=1e-9), (ours, at)
    everything = Measure("mrr", max(len(found), 1))
    assert score(everything, order, judged) == pytest.approx(theirs["recip_rank"], abs=1e-9)


@given(judged=judgements, found=rankings, at=st.integers(1, 20))
def test_a_measure_is_between_nothing_and_all(
    judged: dict[str, int], found: dict[str, float], at: int
) -> None:
    for name in MEASURES:
        assert 0 <= score(Measure(name, at), ranked(found), judged) <= 1 + 1e-12


@given(judged=judgements, at=st.integers(1, 20))
def test_the_best_order_has_the_whole_ndcg(judged: dict[str, int], at: int) -> None:
    best = sorted(judged, key=lambda name: -judged[name])
    relevant = any(value > 0 for value in judged.values())

    assert score(Measure("ndcg", at), best, judged) == pytest.approx(float(relevant))


def test_mrr_looks_no_further_than_its_cut() -> None:
    assert score(Measure("mrr", 2), ["a", "b", "c"], {"c": 1}) == 0
    assert score(Measure("mrr", 3), ["a", "b", "c"], {"c": 1}) == pytest.approx(1 / 3)


def test_measures_are_read_once_each() -> None:
    assert parse_measures("nDCG@10, map@5,ndcg@10") == (Measure("ndcg", 10), Measure("map", 5))


@pytest.mark.parametrize("written", ["ndcg", "ndcg@0", "ndcg@-1", "bleu@3", "", "ndcg@²"])
def test_what_is_no_measure_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match="is no measure; known are ndcg@K, recall@K"):
        parse_measures(written)
