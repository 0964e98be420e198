"""Engine `litellm`: right vectors from a provider, or an error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doubles.cohere_upstream import CohereUpstream, typed
from doubles.openai_upstream import OpenAIUpstream
from embedway_gateway.hosted.library import Library, LiteLLM
from embedway_gateway.hosted.service import Account, Hosted
from embedway_upstream import (
    BadReply,
    BadVector,
    EmbeddingRequest,
    InvalidRequest,
    UpstreamFailed,
    UpstreamRefused,
    Usage,
)
from embedway_upstream.testing import fake_vectors

TEXTS = ("one two", "three", " four\n")
REQUEST = EmbeddingRequest("ours", TEXTS)


async def test_texts_go_as_they_are_and_vectors_come_back(
    hosted: Any, openai: OpenAIUpstream
) -> None:
    response = await hosted("openai/theirs").send(REQUEST)

    np.testing.assert_allclose(fake_vectors(TEXTS, 8), response.vectors, rtol=1e-6)
    assert np.float32 == response.vectors.dtype
    assert ("ours", "up", Usage(4, 4)) == (response.model, response.served_by, response.usage)
    (seen,) = openai.seen
    assert {"model": "theirs", "input": list(TEXTS), "encoding_format": "float"} == seen.body


async def test_the_token_is_the_providers_key(hosted: Any, openai: OpenAIUpstream) -> None:
    await hosted().send(REQUEST)

    assert "Bearer sk-planted-key-0123456789abcdef" == openai.seen[0].headers["authorization"]


@pytest.mark.parametrize(
    ("input_type", "word"), [("query", "search_query"), ("document", "search_document")]
)
async def test_cohere_is_told_a_query_from_a_document(
    hosted: Any, cohere: CohereUpstream, input_type: Any, word: str
) -> None:
    request = EmbeddingRequest("ours", TEXTS, input_type)

    response = await hosted("cohere/embed-english-v3.0").send(request)

    wanted = fake_vectors([typed(word, text) for text in TEXTS], 8)
    np.testing.assert_allclose(wanted, response.vectors, rtol=1e-6)
    assert Usage(4, 4) == response.usage
    body = {
        "model": "embed-english-v3.0",
        "texts": list(TEXTS),
        "input_type": word,
        "embedding_types": ["float"],
    }
    assert [("/v2/embed", body)] == [(seen.path, seen.body) for seen in cohere.seen]


async def test_items_are_put_in_order_by_their_index(hosted: Any, openai: OpenAIUpstream) -> None:
    openai.faults.append("shuffled")

    response = await hosted().send(REQUEST)

    np.testing.assert_allclose(fake_vectors(TEXTS, 8), response.vectors, rtol=1e-6)


@pytest.mark.parametrize(
    "fault",
    [
        *("dropped", "duplicated", "extra", "unnumbered", "nan", "null", "zeros", "dimension"),
        *("html", "truncated"),
    ],
)
async def test_what_cannot_be_the_vectors_is_refused(
    hosted: Any, openai: OpenAIUpstream, fault: str
) -> None:
    openai.faults.append(fault)

    with pytest.raises(BadReply) as caught:
        await hosted().send(REQUEST)

    assert "up" == caught.value.upstream
    assert 1 == len(openai.seen)


@pytest.mark.parametrize("word", ["null", "no vector", "zeros"])
async def test_texts_without_a_vector_are_told_by_their_index(
    hosted: Any, openai: OpenAIUpstream, word: str
) -> None:
    openai.poison[TEXTS[1]] = word

    with pytest.raises(BadVector) as caught:
        await hosted().send(REQUEST)

    assert ((1,), "up") == (caught.value.rows, caught.value.upstream)


@pytest.mark.parametrize("fault", ["dropped", "nan", "dimension", "tokens", "html"])
async def test_what_cannot_be_coheres_vectors_is_refused(
    hosted: Any, cohere: CohereUpstream, fault: str
) -> None:
    cohere.faults.append(fault)

    with pytest.raises(BadReply):
        await hosted("cohere/embed-english-v3.0").send(REQUEST)


async def test_a_broken_answer_is_tried_again_once(hosted: Any, openai: OpenAIUpstream) -> None:
    openai.faults.append("reset")

    with pytest.raises(UpstreamFailed) as caught:
        await hosted().send(REQUEST)

    assert (True, 1) == (caught.value.retryable, caught.value.most_retries)


@pytest.mark.parametrize("text", ["data:image/png;base64,aGVsbG8=", "data:,aGVsbG8="])
async def test_a_text_that_would_be_sent_as_a_picture_is_refused(
    hosted: Any, cohere: CohereUpstream, text: str
) -> None:
    with pytest.raises(InvalidRequest, match="embed the file"):
        await hosted("cohere/embed-english-v3.0").send(EmbeddingRequest("ours", ("a", text)))

    assert [] == cohere.seen


@pytest.mark.parametrize("text", ["data: a, b", "data:", "gs://b/o.png"])
async def test_a_text_that_only_looks_a_little_like_one_is_sent(
    hosted: Any, cohere: CohereUpstream, text: str
) -> None:
    await hosted("cohere/embed-english-v3.0").send(EmbeddingRequest("ours", (text,)))

    assert [text] == cohere.seen[0].body["texts"]


async def test_a_picture_is_a_text_where_litellm_takes_it_for_one(
    hosted: Any, openai: OpenAIUpstream
) -> None:
    text = "data:image/png;base64,aGVsbG8="

    response = await hosted().send(EmbeddingRequest("ours", (text,)))

    np.testing.assert_allclose(fake_vectors([text], 8), response.vectors, rtol=1e-6)


async def test_a_special_token_that_litellm_cannot_count_is_told(
    hosted: Any, cohere: CohereUpstream
) -> None:
    with pytest.raises(InvalidRequest, match="special token"):
        await hosted("cohere/embed-v4.0").send(EmbeddingRequest("ours", ("a <|endoftext|> b",)))


async def test_what_no_provider_counted_is_estimated() -> None:
    class Uncounting:
        async def aembedding(self, **asked: object) -> object:
            return {"data": [{"index": 0, "embedding": [1.0, 0.0]}]}

        async def arerank(self, **asked: object) -> object:
            raise AssertionError

    def open_() -> LiteLLM:
        return Uncounting()

    account = Account(name="up", model="openai/x")
    hosted = Hosted(account, Library("up", open_=open_), dimensions=None)

    response = await hosted.send(EmbeddingRequest("ours", ("twelve chars",)))

    assert Usage(3, 3, estimated=True) == response.usage


async def test_a_missing_package_is_named_with_its_cure() -> None:
    def open_() -> LiteLLM:
        raise ModuleNotFoundError("No module named 'litellm'", name="litellm")

    library = Library("up", open_=open_)
    hosted = Hosted(Account(name="up", model="openai/x"), library, dimensions=8)

    with pytest.raises(UpstreamRefused, match=r'pip install "embedway\[litellm\]"'):
        await hosted.send(REQUEST)

    assert 'litellm is not installed: pip install "embedway[litellm]"' == library.problem


async def test_a_key_is_not_shown() -> None:
    assert "planted" not in repr(Account(name="up", model="openai/x", api_key="planted"))
