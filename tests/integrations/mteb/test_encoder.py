"""The encoder takes what MTEB and BEIR give, now and before."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from doubles.engine_server import vectors_of
from embedway_client import collect_usage
from embedway_client.embedding import EmbeddingResult
from embedway_client.usage import Report
from embedway_upstream import Usage
from mteb_embedway import EmbedwayEncoder


class Recorder:
    """In the place of a client."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def embed(self, texts: Iterable[str], *, input_type: str = "document") -> NDArray[np.float32]:
        whole = list(texts)
        self.calls.append((input_type, len(whole)))
        return vectors_of(f"{input_type} {text}" for text in whole)


class PromptType(str, Enum):  # noqa: UP042 -- as MTEB 1 has it
    query = "query"
    passage = "passage"


@pytest.fixture
def client() -> Recorder:
    return Recorder()


@pytest.fixture
def encoder(client: Recorder) -> EmbedwayEncoder:
    return EmbedwayEncoder(client, name="model")


TEXTS = ["one", "two", "three"]


def expected(kind: str, texts: list[str] | None = None) -> NDArray[np.float32]:
    return vectors_of(f"{kind} {text}" for text in texts or TEXTS)


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, "document"),
        ({"prompt_type": PromptType.query}, "query"),
        ({"prompt_type": PromptType.passage}, "document"),
        ({"prompt_type": "document"}, "document"),
        ({"prompt_name": "query"}, "query"),
        ({"prompt_name": "SciFact-query"}, "query"),
        ({"prompt_name": "passage"}, "document"),
        ({"prompt_name": "SciFact"}, "document"),
        ({"prompt_name": "query", "prompt_type": PromptType.passage}, "document"),
        ({"task_name": "SciFact", "batch_size": 8, "convert_to_tensor": False}, "document"),
    ],
)
def test_the_old_lists_are_embedded_as_what_they_are(
    encoder: EmbedwayEncoder, options: dict[str, Any], kind: str
) -> None:
    np.testing.assert_array_equal(encoder.encode(TEXTS, **options), expected(kind))


def test_batches_become_one_array_in_their_order(encoder: EmbedwayEncoder) -> None:
    batches = [{"text": TEXTS[:2], "title": ["", ""]}, {"text": TEXTS[2:], "title": [""]}]

    found = encoder.encode(
        batches, task_metadata=object(), hf_split="test", hf_subset="default", prompt_type="query"
    )

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected("query"))


def test_tasks_without_queries_are_embedded_as_they_are_told_to_be(client: Recorder) -> None:
    encoder = EmbedwayEncoder(client, name="m", symmetric="query")

    np.testing.assert_array_equal(encoder.encode(TEXTS), expected("query"))
    np.testing.assert_array_equal(
        encoder.encode(TEXTS, prompt_type="document"), expected("document")
    )


def test_beirs_interface_is_there(encoder: EmbedwayEncoder) -> None:
    corpus = [{"title": "A", "text": "one"}, {"title": "", "text": "two"}]

    np.testing.assert_array_equal(encoder.encode_queries(TEXTS, batch_size=2), expected("query"))
    for form in (corpus, {"title": ["A", ""], "text": ["one", "two"]}, ["A one", "two"]):
        found = encoder.encode_corpus(form, batch_size=2)
        np.testing.assert_array_equal(found, expected("document", ["A one", "two"]))


def test_a_passage_without_a_title_is_its_text(encoder: EmbedwayEncoder) -> None:
    corpus: Any = {"title": [None, "B"], "text": ["one", "two"]}

    found = encoder.encode_corpus(corpus)

    np.testing.assert_array_equal(found, expected("document", ["one", "B two"]))


@pytest.mark.parametrize("corpus", [[{"text": None}], {"text": [None]}, [{"text": 7}]])
def test_a_passage_without_a_text_is_refused(encoder: EmbedwayEncoder, corpus: Any) -> None:
    with pytest.raises(TypeError, match="the text of a passage"):
        encoder.encode_corpus(corpus)


def test_usage_is_collected_around_it() -> None:
    class Telling(Recorder):
        def embed(
            self, texts: Iterable[str], *, input_type: str = "document"
        ) -> NDArray[np.float32]:
            Report("m", None).embedded(
                EmbeddingResult(np.ones((1, 8), np.float32), Usage(3, 3), None, fallback=False)
            )
            return super().embed(texts, input_type=input_type)

    with collect_usage() as collected:
        EmbedwayEncoder(Telling(), name="m").encode(TEXTS)

    assert collected.total_tokens == 3


def test_many_texts_keep_their_order(client: Recorder) -> None:
    texts = [f"text {n}" for n in range(2000)]
    encoder = EmbedwayEncoder(client, name="m", concurrency=3)

    np.testing.assert_array_equal(encoder.encode(texts), expected("document", texts))
    assert sorted(count for _, count in client.calls) == [464, 512, 512, 512]


def test_an_empty_text_has_a_row_of_zeros_and_is_not_sent(
    encoder: EmbedwayEncoder, client: Recorder
) -> None:
    found = encoder.encode(["one", " ", "two"])

    np.testing.assert_array_equal(found[[0, 2]], expected("document", ["one", "two"]))
    assert not found[1].any()
    assert client.calls == [("document", 2)]
    assert encoder.encode([""]).shape == (1, 8)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ("one string", "a list of texts"),
        ({"q1": "one", "q2": "two"}, "a mapping was given"),
        ([7], "int is neither a text"),
        ([{"image": [object()]}], "the task has image"),
        ([{"text": "one"}], "without a list of texts"),
        ([{"text": [7]}], "int among the texts"),
    ],
)
def test_what_is_not_text_is_refused(encoder: EmbedwayEncoder, inputs: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        encoder.encode(inputs)


def test_a_kind_that_nobody_knows_is_refused(encoder: EmbedwayEncoder) -> None:
    with pytest.raises(ValueError, match="prompt_type='answer'"):
        encoder.encode(TEXTS, prompt_type="answer")


def test_settings_that_cannot_work_are_refused(client: Recorder) -> None:
    with pytest.raises(ValueError, match="name is empty"):
        EmbedwayEncoder(client, name="")
    with pytest.raises(ValueError, match="concurrency=0"):
        EmbedwayEncoder(client, name="m", concurrency=0)
