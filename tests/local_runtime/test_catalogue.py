"""The catalogue: whole, sourced, and never louder than a model's own files."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from embedway_local import DEFAULT_MODEL, KnownModel, LocalEmbedder, Store, known, known_models
from embedway_local.source.find import find, runs

MODELS = list(known_models().values())
SMALL = "BAAI/bge-small-en-v1.5"
QUERY = "Represent this sentence for searching relevant passages: "
TASK = "Given a web search query, retrieve relevant passages that answer the query"
# What files of transformers call the architectures that are listed.
ARCHITECTURES = {
    "bert",
    "distilbert",
    "gemma3_text",
    "modernbert",
    "mpnet",
    "new",
    "nomic_bert",
    "qwen3",
    "roberta",
    "xlm-roberta",
}


def test_the_well_known_models_are_there() -> None:
    kinds = [model.kind for model in MODELS]

    assert kinds.count("embed") >= 35
    assert kinds.count("rerank") >= 5
    assert len({name for model in MODELS for name in (model.name, *model.aliases)}) == sum(
        1 + len(model.aliases) for model in MODELS
    )


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_an_entry_is_consistent_and_names_its_sources(model: KnownModel) -> None:
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.name)
    assert model.sources[0] == f"https://huggingface.co/{model.name}"
    assert len(model.sources) >= 2
    assert all(source.startswith("https://") for source in model.sources)
    assert model.architecture in ARCHITECTURES | {None}
    assert model.revision is None or re.fullmatch(r"[0-9a-f]{40}", model.revision)
    assert model.license in {None, "MIT", "Apache-2.0", "CC-BY-NC-4.0", "Gemma"}
    if model.kind == "embed":
        assert model.dimensions is not None
        assert list(model.matryoshka) == sorted(n for n in model.matryoshka if 0 < n)
        assert all(size < model.dimensions for size in model.matryoshka)
        assert model.prompts is None or set(model.prompts) == {"query", "document"}
    else:
        assert (model.dimensions, model.pooling, model.prompts) == (None, None, None)


def test_only_the_default_model_is_pinned() -> None:
    assert [model.name for model in MODELS if model.pin] == [DEFAULT_MODEL]
    pin = known_models()[DEFAULT_MODEL].pin
    assert pin is not None
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in pin.files.values())


def test_prompts_are_the_published_ones_to_the_letter() -> None:
    published = {
        SMALL: (QUERY, ""),
        "intfloat/multilingual-e5-large": ("query: ", "passage: "),
        "nomic-ai/nomic-embed-text-v1.5": ("search_query: ", "search_document: "),
        "Snowflake/snowflake-arctic-embed-l-v2.0": ("query: ", ""),
        # No blank after the last colon; the family of e5 has one there.
        "Qwen/Qwen3-Embedding-0.6B": (f"Instruct: {TASK}\nQuery:", ""),
        "google/embeddinggemma-300m": ("task: search result | query: ", "title: none | text: "),
        "BAAI/bge-m3": ("", ""),
    }
    for name, texts in published.items():
        prompts = known_models()[name].prompts
        assert prompts is not None
        assert (prompts["query"], prompts["document"]) == texts


def test_a_maximum_is_the_one_of_the_models_own_files() -> None:
    """The pages on all-MiniLM-L12-v2 speak of 256; its sentence_bert_config.json cuts at 128."""
    listed = known_models()

    assert listed["sentence-transformers/all-MiniLM-L12-v2"].max_tokens == 128
    assert listed[DEFAULT_MODEL].max_tokens == 256


def test_an_alias_is_known_and_a_stranger_is_not() -> None:
    model = known("minilm")

    assert model is not None
    assert model.name == DEFAULT_MODEL
    assert known("some/model") is None


def test_what_cannot_be_run_is_told_with_its_reason() -> None:
    listed = known_models()

    assert runs(listed[SMALL]) == "yes"
    assert runs(listed["jinaai/jina-embeddings-v2-base-en"]).startswith("no: ")
    assert runs(listed["BAAI/bge-reranker-base"]) == "yes"
    assert runs(listed["google/embeddinggemma-300m"]).startswith("no: Dense")


# The catalogue and a model's own files


@pytest.fixture
def stored(tiny: Callable, home: Path) -> Callable[..., str]:
    """Puts a small random model into the store under the name of a known one."""

    def put(*, prompts: dict[str, str] | None = None) -> str:
        folder: Path = tiny().folder
        if prompts is not None:
            said = json.dumps({"prompts": prompts})
            (folder / "config_sentence_transformers.json").write_text(said)
        store = Store(home)
        with store.alone(SMALL), store.receive(SMALL, source="test") as arrival:
            shutil.copytree(folder, arrival.folder, dirs_exist_ok=True)
        return SMALL

    return put


def space(name: str, home: Path, **options: object) -> tuple[str, str]:
    with LocalEmbedder(name, home=home, device="cpu", **options) as made:  # type: ignore[arg-type]
        return made.space.query_prompt, made.space.document_prompt


def test_no_prompt_comes_from_the_catalogue_unasked(stored: Callable, home: Path) -> None:
    assert space(stored(), home) == ("", "")


def test_auto_takes_the_catalogues_prompts_where_the_files_have_none(
    stored: Callable, home: Path
) -> None:
    assert space(stored(prompts={"query": "", "document": ""}), home, prompts="auto") == (QUERY, "")


def test_auto_takes_the_files_prompts_where_they_have_some(stored: Callable, home: Path) -> None:
    assert space(stored(prompts={"query": "q: "}), home, prompts="auto") == ("q: ", "")


def test_no_other_word_stands_for_prompts(tiny: Callable, home: Path) -> None:
    with pytest.raises(ValueError, match="prompts='own'"):
        space(str(tiny().folder), home, prompts="own")


def test_auto_of_a_model_that_nobody_knows_has_its_own_prompts(tiny: Callable, home: Path) -> None:
    assert space(str(tiny().folder), home, prompts="auto") == ("", "")


def test_where_the_files_say_other_than_the_catalogue_they_win_and_it_is_told(
    stored: Callable, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "embedway.local"):
        found = find(stored(prompts={"query": "q: "}), Store(home))

    assert (found.hidden, found.pooling, found.prompts["query"]) == (24, "mean", "q: ")
    for clause in ("dimensions 24, not 384", "pooling 'mean', not 'cls'", "query prompt 'q: '"):
        assert clause in caplog.text


def test_a_folder_that_agrees_is_not_talked_about(
    tiny: Callable, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "embedway.local"):
        find(tiny().folder, Store(home))

    assert caplog.text == ""
