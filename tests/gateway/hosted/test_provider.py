"""What each provider is told, and how much at once."""

from __future__ import annotations

from typing import Any

import pytest

from doubles.openai_upstream import OpenAIUpstream
from embedway_gateway.hosted.provider import (
    most_documents,
    most_inputs,
    reads_as_file,
    require,
    words,
)
from embedway_upstream import EmbeddingRequest

DOCUMENT = EmbeddingRequest("ours", ("a", "b"))
QUERY = EmbeddingRequest("ours", ("a", "b"), "query")


@pytest.mark.parametrize(
    ("model", "query", "document"),
    [
        ("voyage/voyage-3", {"input_type": "query"}, {"input_type": "document"}),
        ("nvidia_nim/nv", {"input_type": "query"}, {"input_type": "passage"}),
        (
            "jina_ai/jina-embeddings-v3",
            {"task": "retrieval.query"},
            {"task": "retrieval.passage"},
        ),
        ("jina_ai/jina-embeddings-v2-base-en", {}, {}),
        ("azure_ai/Cohere-embed-v3-english", {"input_type": "query"}, {"input_type": "document"}),
        ("azure_ai/text-embedding-3-small", {}, {}),
        ("mistral/mistral-embed", {}, {}),
        ("openai/text-embedding-3-small", {}, {}),
        ("hosted_vllm/BAAI/bge-m3", {}, {}),
    ],
)
async def test_a_query_is_told_from_a_document_in_the_providers_words(
    hosted: Any, openai: OpenAIUpstream, model: str, query: dict[str, str], document: dict[str, str]
) -> None:
    for request in (QUERY, DOCUMENT):
        await hosted(model).send(request)

    sent = [seen.body for seen in openai.seen]
    for body in sent:
        assert model.partition("/")[2] == body.pop("model")
        assert ["a", "b"] == body.pop("input")
        assert body.pop("encoding_format", "float") in {"float", "base64"}
    assert [query, document] == sent, "and nothing else is sent"


@pytest.mark.parametrize(
    ("model", "parameter"),
    [
        ("cohere/embed-v4.0", "input_type"),
        ("bedrock/cohere.embed-multilingual-v3", "input_type"),
        ("bedrock/amazon.titan-embed-text-v2:0", None),
        ("gemini/gemini-embedding-001", "task_type"),
        ("gemini/gemini-embedding-2", None),
        ("vertex_ai/text-embedding-005", "task_type"),
        ("vertex_ai/text-multilingual-embedding-002", "task_type"),
        ("vertex_ai/textembedding-gecko", None),
        ("coherent/embed", None),
    ],
)
def test_only_models_that_know_the_parameter_are_sent_it(model: str, parameter: str | None) -> None:
    found = words(model)

    assert parameter == (found.parameter if found else None)


@pytest.mark.parametrize(
    ("model", "most"),
    [
        ("openai/text-embedding-3-small", 2048),
        ("azure/deployed", 2048),
        ("cohere/embed-v4.0", 96),
        ("azure_ai/Cohere-embed-v3-english", 96),
        ("azure_ai/other", None),
        ("bedrock/eu.cohere.embed-v4:0", 96),
        ("bedrock/amazon.titan-embed-text-v2:0", 1),
        ("voyage/voyage-3", 1000),
        ("gemini/gemini-embedding-001", 100),
        ("vertex_ai/gemini-embedding-001", 1),
        ("vertex_ai/text-embedding-005", 250),
        ("mistral/mistral-embed", None),
    ],
)
def test_how_many_texts_at_once(model: str, most: int | None) -> None:
    assert most == most_inputs(model)


def test_how_many_documents_at_once() -> None:
    found = [most_documents(f"{name}/rerank") for name in ("cohere", "voyage", "jina_ai")]

    assert [1000, 1000, None] == found


@pytest.mark.parametrize("model", ["", "text-embedding-3-small", "cohere/", "/embed-v4.0"])
def test_a_model_without_a_provider_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match="provider/model, like cohere/embed-english"):
        require(model)


def test_where_litellm_makes_other_vectors_of_a_reply_it_is_refused() -> None:
    with pytest.raises(ValueError, match="use engine tei"):
        require("huggingface/BAAI/bge-m3")
    with pytest.raises(ValueError, match="pictures and texts"):
        require("vertex_ai/multimodalembedding@001")


@pytest.mark.parametrize(
    ("model", "text", "refused"),
    [
        ("gemini/gemini-embedding-2", "files/abc", True),
        ("vertex_ai/gemini-embedding-2", "gs://b/o.png", True),
        ("vertex_ai/gemini-embedding-2", "data:image/png\n;base64,aGVsbG8=", True),
        ("gemini/gemini-embedding-001", "see gs://b/o.png", False),
        ("bedrock/amazon.nova-2-multimodal-embeddings-v1:0", "s3://b/o", True),
        ("bedrock/cohere.embed-v4:0", "s3://b/o", False),
        ("jina_ai/jina-clip-v2", "data:image/png;base64,aGVsbG8=", True),
        ("azure_ai/Cohere-embed-v3-english", "data:image/png;base64,aGVsbG8=", True),
        ("openai/text-embedding-3-small", "data:image/png;base64,aGVsbG8=", False),
    ],
)
def test_which_texts_are_taken_for_files(model: str, text: str, refused: bool) -> None:
    assert refused is reads_as_file(model, text)
