"""Corpus, queries and judgements are read as BEIR and TREC write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedway_gateway.bulk.error import BadInput
from embedway_gateway.evaluation.collection import find, read_collection, shipped
from embedway_local.retrieval_set import shipped_set

QRELS = "query-id\tcorpus-id\tscore\nq1\td2\t2\nq1\td1\t0\nq2\td1\t1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "corpus.jsonl", d1=("", "one"), d2=("Two", "two"), d10=("", " "))
    write(tmp_path, "queries.jsonl", q1=("", "first"), q2=("", "second"), q3=("", "third"))
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text(QRELS)
    return tmp_path


def write(folder: Path, name: str, **entries: tuple[str, str]) -> None:
    lines = [
        json.dumps({"_id": key, "title": title, "text": text, "metadata": {}})
        for key, (title, text) in entries.items()
    ]
    (folder / name).write_text("\n".join(lines) + "\n")


def test_beirs_form_is_read(folder: Path) -> None:
    found = read_collection(find(folder))

    assert found.ids == ("d1", "d2", "d10")
    assert list(found.texts()) == ["one", "Two two", ""]
    assert found.order.tolist() == [0, 2, 1]
    assert dict(found.queries) == {"q1": "first", "q2": "second"}
    assert found.judgements == {"q1": {"d2": 2, "d1": 0}, "q2": {"d1": 1}}
    assert (found.empty, found.missing, found.unjudged) == (1, 0, 1)


@pytest.mark.parametrize("ids", [("d1", "d2"), ("d1", "d2", "d10", "d3"), ("d2", "d1", "d10")])
def test_a_corpus_that_changes_meanwhile_is_told(folder: Path, ids: tuple[str, ...]) -> None:
    found = read_collection(find(folder))
    write(folder, "corpus.jsonl", **dict.fromkeys(ids, ("", "text")))

    with pytest.raises(BadInput, match="was changed while it was read"):
        list(found.texts())


@pytest.mark.parametrize(
    "text",
    [
        "q1 0 d2 2\nq1 0 d1 0\nq2 0 d1 1\n",
        "q1\tQ0\td2\t2\r\nq1\tQ0\td1\t0\r\nq2\tQ0\td1\t1\r\n",
        "q1\td2\t2\nq1\td1\t0\nq2\td1\t1\n",
    ],
    ids=["TREC", "TREC with tabs", "without a header"],
)
def test_other_forms_of_judgements_mean_the_same(folder: Path, text: str) -> None:
    (folder / "trec.qrels").write_text(text)

    found = read_collection(find(folder, qrels=folder / "trec.qrels"))

    assert found.judgements == {"q1": {"d2": 2, "d1": 0}, "q2": {"d1": 1}}


def test_tsv_holds_an_id_and_a_text_a_line(folder: Path) -> None:
    (folder / "c.tsv").write_text("d1\tone\nd2\ttwo, with a\ttab\n")
    (folder / "q.tsv").write_text("q1\tfirst\nq2\tsecond\n")

    found = read_collection(find(folder, corpus=folder / "c.tsv", queries=folder / "q.tsv"))

    assert list(found.texts()) == ["one", "two, with a\ttab"]


def test_ids_may_be_numbers_and_titles_null(folder: Path) -> None:
    (folder / "corpus.jsonl").write_text('{"_id": 1, "title": null, "text": "one"}\n')
    (folder / "qrels" / "test.tsv").write_text("q1\t1\t1\n")

    assert read_collection(find(folder)).ids == ("1",)


def test_a_folder_without_splits_has_one_file(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").rename(folder / "qrels.tsv")

    assert find(folder).qrels == folder / "qrels.tsv"


def test_a_relevant_passage_that_is_not_there_is_counted(folder: Path) -> None:
    (folder / "qrels" / "test.tsv").write_text("q1\td2\t1\nq1\tgone\t1\nq2\tnever\t0\n")

    assert read_collection(find(folder)).missing == 1


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("corpus.jsonl", '{"_id": "d1"}', "corpus.jsonl:1: not a line of BEIR's form"),
        ("corpus.jsonl", '{"_id": "d1", "text": 7}', "corpus.jsonl:1: not a line of BEIR's form"),
        ("corpus.jsonl", '{"_id":"d1","text":"a"}\n{"_id":"d1","text":"b"}', "'d1' is there twice"),
        ("corpus.jsonl", '{"_id": "d9", "text": "a"}', "has none of the passages"),
        ("corpus.jsonl", "", "has none of the passages"),
        ("queries.jsonl", '{"_id": "q1", "text": "a"}', "judges 1 queries that"),
        ("queries.jsonl", '{"_id":"q1","text":"a"}\n{"_id":"q2","text":" "}', "'q2' is empty"),
        ("qrels/test.tsv", "q1\td1\n", "test.tsv:1: a judgement is `query passage score`"),
        ("qrels/test.tsv", "h\th\th\nq1\td1\thigh\n", "test.tsv:2: a judgement is a whole number"),
        ("qrels/test.tsv", "q1\td1\t1\nq1\td1\t2\n", "judged twice, differently"),
        ("qrels/test.tsv", "q1\td1\t0\n", "judges no passage relevant"),
    ],
)
def test_a_mistake_is_told_with_its_place(folder: Path, name: str, text: str, words: str) -> None:
    (folder / name).write_text(text)

    with pytest.raises(BadInput, match=words.replace("(", r"\(")):
        read_collection(find(folder))


def test_a_split_that_is_not_there_is_told_with_those_that_are(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"dev\.tsv: there is no such file; --split is one of test"):
        find(folder, "dev")


def test_the_shipped_set_is_the_runtimes() -> None:
    found, theirs = read_collection(shipped()), shipped_set()

    assert dict(zip(found.ids, found.texts(), strict=True)) == dict(theirs.corpus)
    assert found.queries == theirs.queries
    assert found.judgements == theirs.judgements
    assert (found.empty, found.missing, found.unjudged) == (0, 0, 0)
