"""What a model's configuration takes from the catalogue, and what it never does."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from embedway_gateway.config.schema import ModelConfig, PromptConfig
from embedway_gateway.declaration import declared

BASE = "BAAI/bge-base-en-v1.5"
QUERY = "Represent this sentence for searching relevant passages: "
UP = {"name": "up", "engine": "tei", "url": "https://example.test"}
LOCAL = {"name": "local", "engine": "local", "priority": 1}


def read(name: str = BASE, *, upstreams: tuple[dict[str, object], ...] = (UP,), **more: object):
    return ModelConfig.model_validate({"name": name, "upstreams": upstreams, **more})


def refused(**values: object) -> str:
    with pytest.raises(ValidationError) as caught:
        read(**values)  # type: ignore[arg-type]
    return str(caught.value)


def test_auto_takes_the_prompts_of_the_catalogue() -> None:
    assert read(prompts="auto").prompts == PromptConfig(query=QUERY, document="")


def test_auto_is_the_space_of_the_same_prompts_written_out() -> None:
    auto = read(prompts="auto", dimensions=768)
    written = read(prompts={"query": QUERY, "document": ""}, dimensions=768)

    assert declared(auto) == declared(written) != declared(read())


def test_prompts_are_never_taken_unasked() -> None:
    assert read().prompts is None


def test_auto_of_an_unknown_model_is_a_mistake_that_names_the_cure() -> None:
    said = refused(name="org/model", dimensions=8, prompts="auto")

    assert "no prompts for org/model" in said
    assert "models list --known" in said
    assert "write them out" in said


def test_auto_is_refused_where_the_catalogue_does_not_know_the_prompts() -> None:
    assert "no prompts for jinaai/jina-embeddings-v3" in refused(
        name="jinaai/jina-embeddings-v3", prompts="auto"
    )


def test_dimensions_of_a_known_model_need_not_be_written() -> None:
    assert read().dimensions == 768
    assert read(dimensions=None).dimensions == 768
    assert "dimensions is needed" in refused(name="org/model")


def test_what_is_written_wins() -> None:
    config = read(dimensions=512, prompts={"query": "q: "})

    assert (config.dimensions, config.prompts) == (512, PromptConfig(query="q: "))


def test_the_limit_of_tokens_is_not_taken_because_a_server_may_have_a_lower_one() -> None:
    assert read().max_tokens is None


def test_the_name_that_the_upstream_knows_counts_too() -> None:
    up = {**UP, "model": BASE}

    assert read("house", upstreams=(up,), prompts="auto").prompts == PromptConfig(query=QUERY)


def test_two_known_models_under_one_name_are_neither() -> None:
    up = {**UP, "model": "intfloat/e5-base-v2"}

    assert "no prompts for" in refused(upstreams=(up,), dimensions=768, prompts="auto")


def test_a_model_with_a_local_upstream_is_asked_itself() -> None:
    config = read(upstreams=(UP, LOCAL), prompts="auto")

    assert (config.dimensions, config.prompts) == (None, "auto")
    assert config.known_prompts == PromptConfig(query=QUERY)
    assert read(upstreams=(UP, LOCAL)).known_prompts is None


def test_a_reranker_gets_no_dimensions() -> None:
    model = read("BAAI/bge-reranker-base", capabilities=["rerank"])

    assert model.dimensions is None
    assert "dimensions is needed" in refused(name="BAAI/bge-reranker-base")


@pytest.mark.parametrize("upstreams", [None, 3, [None], [3], "x", {}])
def test_nonsense_is_told_as_nonsense(upstreams: object) -> None:
    with pytest.raises(ValidationError, match="upstreams"):
        ModelConfig.model_validate({"name": BASE, "prompts": "auto", "upstreams": upstreams})
