import math
from pathlib import Path

import numpy as np
import pytest

from embedway_local import ModelCorrupt
from embedway_local.retrieval_set import RetrievalSet, ndcg, read_retrieval_set, shipped_set

EYE = np.eye(4, dtype=np.float32)
SMALL = RetrievalSet(
    corpus={name: name for name in "abcd"}, queries={"q": "?"}, judgements={"q": {"a": 2, "b": 1}}
)


def write(folder: Path, *, corpus: str, qrels: str) -> Path:
    (folder / "corpus.jsonl").write_text(corpus)
    (folder / "queries.jsonl").write_text('{"_id": "q", "text": "?"}\n{"_id": "r", "text": "!"}\n')
    (folder / "qrels.tsv").write_text(qrels)
    return folder


def test_the_shipped_set_is_whole() -> None:
    found = shipped_set()

    assert len(found.corpus) == 150
    assert len(found.queries) == 62
    assert sum(len(scores) for scores in found.judgements.values()) == 78
    assert len(set(found.corpus.values())) == 150
    assert all(2 in scores.values() for scores in found.judgements.values())


def test_a_perfect_order_scores_one() -> None:
    query = np.array([[0.9, 0.4, 0.1, 0]], dtype=np.float32)

    assert ndcg(SMALL, query, EYE) == pytest.approx(1)


def test_a_later_place_is_worth_less() -> None:
    query = np.array([[0.4, 0.1, 0.9, 0.2]], dtype=np.float32)
    gained, ideal = 2 / math.log2(3) + 1 / math.log2(5), 2 + 1 / math.log2(3)

    assert ndcg(SMALL, query, EYE) == pytest.approx(gained / ideal)
    assert ndcg(SMALL, query, EYE, at=1) == 0


def test_titles_are_read_and_queries_without_judgements_left_out(tmp_path: Path) -> None:
    corpus = '{"_id": "d", "title": "A", "text": "text"}\n'
    folder = write(tmp_path, corpus=corpus, qrels="query-id\tcorpus-id\tscore\nq\td\t1\n")

    found = read_retrieval_set(folder)

    assert dict(found.corpus) == {"d": "A text"}
    assert dict(found.queries) == {"q": "?"}


@pytest.mark.parametrize(
    ("corpus", "qrels"),
    [
        ("not JSON", "head\nq\td\t1"),
        ('["a list"]', "head\nq\td\t1"),
        ('{"_id": "d"}', "head\nq\td\t1"),
        ('{"_id": "d", "text": "t"}', "head\nq\td"),
        ('{"_id": "d", "text": "t"}', "head\nq\tother\t1"),
        ('{"_id": "d", "text": "t"}', "head\nnobody\td\t1"),
    ],
)
def test_a_broken_set_is_refused(tmp_path: Path, corpus: str, qrels: str) -> None:
    with pytest.raises(ModelCorrupt):
        read_retrieval_set(write(tmp_path, corpus=corpus, qrels=qrels))
