"""Keywords of the neighbouring classes: understood, or answered with what to do instead."""

from __future__ import annotations

import pytest
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import ValidationError

from langchain_embedway import EmbedwayEmbeddings, EmbedwayRerank
from langchain_embedway.option import _ADVICE, _ALIASES

SECRET = "sk-very-secret"


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("chunk_size", "batch_size", 5),
        ("embed_batch_size", "batch_size", 5),
        ("request_timeout", "timeout", 2.0),
        ("model_name", "model", "n"),
        ("openai_api_base", "base_url", "https://x.example/v1"),
        ("api_base", "base_url", "https://x.example/v1"),
        ("headers", "default_headers", {"x": "y"}),
        ("extra_headers", "default_headers", {"x": "y"}),
        ("output_dimensions", "dimensions", 128),
        ("show_progress", "show_progress_bar", True),
        ("query_instruction", "query_prompt", "q: "),
        ("embed_instruction", "document_prompt", "d: "),
    ],
)
def test_another_name_means_the_same(alias, name, value):
    options = {"model": "m", alias: value}
    if name == "model":
        del options["model"]

    assert getattr(EmbedwayEmbeddings(**options), name) == value


def test_a_key_under_another_name_is_a_secret():
    model = EmbedwayEmbeddings(model="m", openai_api_key=SECRET)

    assert model.api_key.get_secret_value() == SECRET
    assert SECRET not in repr(model)
    assert EmbedwayRerank(model="m", cohere_api_key=SECRET).api_key == model.api_key


def test_a_class_of_openai_moves_with_all_that_such_a_server_needs():
    options = {
        "model": "minilm",
        "base_url": "http://127.0.0.1:8080/v1",
        "api_key": "unused",
        "check_embedding_ctx_length": False,
        "chunk_size": 64,
        "max_retries": 3,
        "request_timeout": None,
        "show_progress_bar": False,
        "dimensions": None,
        "tiktoken_enabled": False,
        "model_kwargs": {},
        "default_headers": {"x-team": "search"},
        "default_query": None,
    }
    OpenAIEmbeddings(**options)
    model = EmbedwayEmbeddings(**options)

    assert (model.batch_size, model.max_retries, model.timeout) == (64, 3, 60.0)


@pytest.mark.parametrize("both", [("batch_size", "chunk_size"), ("chunk_size", "batch_size")])
def test_a_setting_under_two_names_is_refused(both):
    with pytest.raises(ValidationError, match=f"{both[0]}= and {both[1]}= are one setting"):
        EmbedwayEmbeddings(model="m", **dict.fromkeys(both, 5))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("modell", r"did you mean model=\?"),
        ("batchsize", r"did you mean batch_size=\?"),
        ("api_kye", r"did you mean api_key=\?"),
        ("chunksize", r"did you mean chunk_size=\?"),
        ("engine", r"belongs to direct\(\)"),
        ("check_embedding_ctx_length", "nothing is split"),
        ("default_query", "http_client="),
        ("query_encode_kwargs", "query_prompt="),
        ("truncate", "where the model is served"),
        ("zzz", r"zzz= is no keyword of EmbedwayEmbeddings(?!;)"),
    ],
)
def test_what_is_not_understood_is_told_what_to_do_and_shows_no_value(wrong, words):
    with pytest.raises(ValidationError, match=words) as caught:
        EmbedwayEmbeddings(**{"model": "m", wrong: SECRET})

    assert SECRET not in str(caught.value)


def test_every_option_of_openais_classes_is_understood_or_answered():
    ours = {*EmbedwayEmbeddings.model_fields, *_ALIASES, *_ADVICE}
    # Objects that OpenAIEmbeddings makes for itself.
    own = {"client", "async_client"}

    assert set(OpenAIEmbeddings.model_fields) - ours == own
    assert {"request_timeout", "openai_api_base"} <= set(ChatOpenAI.model_fields)


def test_no_advice_is_given_for_what_is_understood():
    known = {*EmbedwayEmbeddings.model_fields, *EmbedwayRerank.model_fields}

    assert not known & set(_ALIASES)
    assert not known & set(_ADVICE)
    assert set(_ALIASES.values()) <= known
