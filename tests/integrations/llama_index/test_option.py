"""Keywords that users bring along from other classes, and what is said to those without a use."""

from __future__ import annotations

import httpx
import pytest
from pydantic import SecretStr

from llama_index.embeddings.embedway import EmbedwayEmbedding
from llama_index.postprocessor.embedway import EmbedwayRerank

SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"api_base": "http://127.0.0.1:9/v1"}, "base_url", "http://127.0.0.1:9/v1"),
        ({"auth_token": SECRET}, "api_key", SecretStr(SECRET)),
        ({"batch_size": 7}, "embed_batch_size", 7),
        ({"embed_batch_size": 7}, "embed_batch_size", 7),
        ({"max_concurrency": 7}, "num_workers", 7),
        ({"num_workers": 7}, "num_workers", 7),
        ({"request_timeout": 7}, "timeout", 7.0),
        ({"headers": {"x": "y"}}, "default_headers", {"x": "y"}),
        ({"query_instruction": "Ask:"}, "query_prompt", "Ask: "),
        ({"text_instruction": "Say: "}, "document_prompt", "Say: "),
        ({"text_instruction": ""}, "document_prompt", ""),
        ({"base_url": None, "api_key": None}, "base_url", "http://127.0.0.1:8080/v1"),
        ({"additional_kwargs": {}, "reuse_client": True}, "timeout", 60.0),
        ({"model_name": "m"}, "model", "m"),
    ],
)
def test_other_names_are_understood(given, field, value):
    model = EmbedwayEmbedding("m", **given)

    assert getattr(model, field) == value
    assert EmbedwayEmbedding.from_dict(model.to_dict()).to_dict() == model.to_dict()


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"modell": "m"}, TypeError, "did you mean model=?"),
        ({"api_bas": "x"}, TypeError, "did you mean api_base=?"),
        ({"quite_unlike": SECRET}, TypeError, "quite_unlike= is no keyword of EmbedwayEmbedding"),
        ({"endpoint": "https://x"}, TypeError, "direct()"),
        ({"truncate_text": True}, TypeError, "where the model is served"),
        ({"additional_kwargs": {"user": "u"}}, TypeError, "no further fields"),
        ({"model_name": "n"}, ValueError, "model= and model_name= are one setting"),
        ({"batch_size": 3, "embed_batch_size": 4}, ValueError, "one setting"),
        ({"num_workers": 0}, ValueError, "num_workers"),
        ({"embeddings_cache": {}}, ValueError, "embeddings_cache"),
    ],
)
def test_what_is_not_understood_is_told_what_to_do(given, error, words):
    with pytest.raises(error) as caught:
        EmbedwayEmbedding("m", api_key=SECRET, **given)

    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_reranker_understands_its_own():
    ranker = EmbedwayRerank(model_name="m", api_base="local", embed_batch_size=3, num_workers=2)

    assert (ranker.model, ranker.base_url) == ("m", "local")
    assert (ranker.batch_size, ranker.max_concurrency) == (3, 2)
    with pytest.raises(TypeError, match="dimensions= is no keyword of EmbedwayRerank"):
        EmbedwayRerank("m", dimensions=3)


async def test_prompts_are_put_before_what_is_sent(server):
    model = EmbedwayEmbedding(
        "m", base_url=server.url, query_instruction="Ask:", document_prompt="say: "
    )
    model.get_query_embedding("a")
    await model.aget_text_embedding("b")

    assert [body["input"] for body in server.bodies] == [["Ask: a"], ["say: b"]]


async def test_given_http_clients_are_used_and_shared_by_copies(server):
    headers = {"x-mine": "yes"}
    with httpx.Client(headers=headers) as one:
        async with httpx.AsyncClient(headers=headers) as two:
            model = EmbedwayEmbedding(
                "m", base_url=server.url, http_client=one, async_http_client=two
            )
            model.get_text_embedding("a")
            await model.model_copy(deep=True).aget_text_embedding("a")

    assert [headers["x-mine"] for _, headers in server.asked] == ["yes", "yes"]


@pytest.mark.parametrize("kind", [EmbedwayEmbedding, EmbedwayRerank])
def test_the_environment_can_say_everything(monkeypatch, kind):
    name = "EMBEDWAY_MODEL" if kind is EmbedwayEmbedding else "EMBEDWAY_RERANK_MODEL"
    monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match=f"{name} is not set"):
        kind.from_env()
    for variable, value in {
        name: "m",
        "EMBEDWAY_BASE_URL": "http://127.0.0.1:9/v1",
        "EMBEDWAY_API_KEY": SECRET,
        "EMBEDWAY_BATCH_SIZE": "7",
        "EMBEDWAY_TIMEOUT": "1.5",
        "EMBEDWAY_TOP_N": "4",
    }.items():
        monkeypatch.setenv(variable, value)
    made = kind.from_env()

    assert (made.model, made.base_url, made.timeout) == ("m", "http://127.0.0.1:9/v1", 1.5)
    assert made.api_key == SecretStr(SECRET)
    assert made._client._settings.batch_size == 7
