import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedway_local import (
    DEFAULT_MODEL,
    LocalEmbedder,
    ModelCorrupt,
    ModelNotFound,
    ModelUnsupported,
    call,
)

REFERENCE = Path(__file__).parent / "reference"
TEXTS: list[str] = json.loads((REFERENCE / "texts.json").read_text())
VECTORS = np.load(REFERENCE / "vectors.npy")

slow_fixture = settings(
    deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def small(tiny: Callable, home: Path) -> LocalEmbedder:
    return LocalEmbedder(tiny().folder, home=home)


# Exactness. The reference is sentence-transformers' in fp32 (reference/make.py).


def test_every_vector_equals_the_reference(model_in_store: str, embedder: LocalEmbedder) -> None:
    assert len(TEXTS) >= 48
    np.testing.assert_allclose(embedder.embed(TEXTS), VECTORS, rtol=0, atol=1e-5)


def test_every_vector_is_the_same_alone(embedder: LocalEmbedder) -> None:
    for text, expected in zip(TEXTS, VECTORS, strict=True):
        np.testing.assert_allclose(embedder.embed([text])[0], expected, rtol=0, atol=1e-5)


@slow_fixture
@given(st.lists(st.integers(0, len(TEXTS) - 1), max_size=80))
def test_neither_order_nor_company_changes_a_vector(
    embedder: LocalEmbedder, chosen: list[int]
) -> None:
    """Any texts of the set, in any order, any number of times."""
    vectors = embedder.embed([TEXTS[index] for index in chosen])

    assert (len(chosen), 384) == vectors.shape
    np.testing.assert_allclose(vectors, VECTORS[chosen], rtol=0, atol=1e-6)


def test_vectors_are_float32_rows_of_unit_length(embedder: LocalEmbedder) -> None:
    vectors = embedder.embed(TEXTS)

    assert np.float32 == vectors.dtype
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=0, atol=1e-6)


@slow_fixture
@given(st.lists(st.text(max_size=300), max_size=12))
def test_any_unicode_text_gets_a_finite_vector(embedder: LocalEmbedder, texts: list[str]) -> None:
    vectors = embedder.embed(texts)

    assert np.isfinite(vectors).all()
    assert (len(texts), 384) == vectors.shape


def test_one_megabyte_of_text_is_cut(embedder: LocalEmbedder) -> None:
    text = "lorem ipsum dolor " * 58_000

    result = embedder.encode([text, "short"])

    assert (256 + 3, 1) == (result.tokens, result.truncated)
    np.testing.assert_allclose(
        result.vectors[0], embedder.embed([text[:3000]])[0], rtol=0, atol=1e-6
    )


def test_more_texts_than_are_tokenised_at_a_time_keep_their_order(
    small: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [" ".join("abcdefghijklmnop"[: index % 17]) for index in range(100)]
    whole = small.encode(texts)
    monkeypatch.setattr(call, "WINDOW", 7)

    split = small.encode(texts)

    np.testing.assert_allclose(split.vectors, whole.vectors, rtol=0, atol=1e-6)
    assert (whole.tokens, whole.truncated) == (split.tokens, split.truncated)


# What it says


def test_tokens_and_cut_texts_are_counted(embedder: LocalEmbedder) -> None:
    result = embedder.encode(["", "hello world", "word " * 254, "word " * 255])

    assert 2 + 4 + 256 + 256 == result.tokens
    assert 1 == result.truncated


def test_the_model_is_described(embedder: LocalEmbedder) -> None:
    assert (DEFAULT_MODEL, 384, 256, "cpu") == (
        embedder.model,
        embedder.dimensions,
        embedder.max_tokens,
        embedder.device,
    )
    assert ("mean", 384, 256, "") == (
        embedder.space.pooling,
        embedder.space.dimensions,
        embedder.space.max_tokens,
        embedder.space.query_prompt,
    )
    assert "vs1-720cec1abeab6957" == embedder.space.fingerprint


def test_no_texts_give_no_vectors(embedder: LocalEmbedder) -> None:
    result = embedder.encode([])

    assert (0, 384) == result.vectors.shape
    assert (0, 0) == (result.tokens, result.truncated)


def test_the_processor_is_told_with_its_reason_in_one_line(
    tiny: Callable, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny().folder
    LocalEmbedder(folder, home=home)
    caplog.clear()

    with caplog.at_level(logging.INFO, "embedway.local"):
        LocalEmbedder(folder, home=home)

    assert [
        "running on the processor: the installed onnxruntime is built without CUDA"
    ] == caplog.messages


# Wrong input


def test_one_string_is_no_list(small: LocalEmbedder) -> None:
    with pytest.raises(TypeError, match="give a list"):
        small.embed("a text")


def test_wrong_texts_are_named_by_their_place(
    small: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call, "WINDOW", 2)

    with pytest.raises(TypeError, match="text 4 is of type int"):
        small.embed(["a", "b", "c", "d", 5])
    with pytest.raises(ValueError, match="text 3 has a lone surrogate at character 1"):
        small.embed(["a", "b", "c", "d\ud800"])


def test_it_works_on_after_an_error(small: LocalEmbedder) -> None:
    expected = small.embed(["a b"])
    for _ in range(5):
        with pytest.raises(ValueError, match="surrogate"):
            small.embed(["a"] * 50 + ["\udfff"])

    np.testing.assert_array_equal(expected, small.embed(["a b"]))


@pytest.mark.parametrize(
    "options",
    [
        {"threads": 0},
        {"max_tokens": 0},
        {"max_tokens": 2},
        {"max_tokens": 21},
        {"pooling": "max"},
        {"device": "tpu"},
    ],
    ids=str,
)
def test_impossible_options_are_refused(tiny: Callable, home: Path, options: dict) -> None:
    with pytest.raises(ValueError, match=str(next(iter(options.values())))):
        LocalEmbedder(tiny().folder, home=home, **options)


def test_an_unknown_input_type_is_refused(small: LocalEmbedder) -> None:
    with pytest.raises(ValueError, match="'passage'"):
        small.embed(["a"], input_type="passage")


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/at/all", "~nobody/x", "a\0b", "a/b/c", ""])
def test_what_is_neither_folder_nor_name_is_not_found(home: Path, name: str) -> None:
    with pytest.raises(ModelNotFound, match="neither a folder here nor a name on the hub"):
        LocalEmbedder(name, home=home)


def test_a_pipeline_that_we_do_not_run_is_refused_whatever_the_pooling(
    tiny: Callable, home: Path
) -> None:
    folder = tiny().folder
    modules = [{"idx": 0, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}]
    (folder / "modules.json").write_text(json.dumps(modules))

    with pytest.raises(ModelUnsupported, match="Dense"):
        LocalEmbedder(folder, home=home, pooling="mean")


# Prompts


def test_queries_and_documents_get_their_prompts(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    plain = LocalEmbedder(folder, home=home)
    (folder / "config_sentence_transformers.json").write_text(
        json.dumps({"prompts": {"query": "q u ", "passage": "d "}})
    )

    prompted = LocalEmbedder(folder, home=home)

    np.testing.assert_array_equal(
        plain.embed(["q u a", "q u b"]), prompted.embed(["a", "b"], input_type="query")
    )
    np.testing.assert_array_equal(plain.embed(["d a"]), prompted.embed(["a"]))
    np.testing.assert_array_equal(plain.embed(["a"]), prompted.embed(["a"], input_type=None))
    assert plain.space.fingerprint != prompted.space.fingerprint


@pytest.mark.parametrize(
    ("prompts", "query", "document"),
    [
        ({"retrieval": "r "}, "r ", "r "),
        ({"retrieval": "r ", "search_query": "q "}, "q ", "r "),
        ({"retrieval": "r ", "query": "", "passage": "d "}, "", "d "),
        ({"retrieval": None}, "", ""),
    ],
    ids=str,
)
def test_the_default_prompt_stands_where_there_is_none_of_the_type(
    tiny: Callable, home: Path, prompts: dict, query: str, document: str
) -> None:
    folder = tiny().folder
    said = {"prompts": prompts, "default_prompt_name": "retrieval"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))

    made = LocalEmbedder(folder, home=home)

    assert (query, document) == (made.space.query_prompt, made.space.document_prompt)
    bare = made.embed([f"{query}a"], input_type=None)
    np.testing.assert_array_equal(bare, made.embed(["a"], input_type="query"))


@pytest.mark.parametrize("name", ["missing", 3, ["query"]], ids=str)
def test_a_default_prompt_that_is_none_is_corrupt(tiny: Callable, home: Path, name: object) -> None:
    folder = tiny().folder
    said = {"prompts": {"query": "q "}, "default_prompt_name": name}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(said))

    with pytest.raises(ModelCorrupt, match="default_prompt_name"):
        LocalEmbedder(folder, home=home)


@pytest.mark.parametrize("name", ["Query", "retrieval", ""])
def test_a_prompt_that_would_never_be_used_is_an_error(
    tiny: Callable, home: Path, name: str
) -> None:
    with pytest.raises(ValueError, match='no input type; "query" and "document" are known'):
        LocalEmbedder(tiny().folder, home=home, prompts={name: "x "})


def test_prompts_can_be_replaced(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    made = LocalEmbedder(folder, home=home, prompts={"query": "x "})

    np.testing.assert_array_equal(made.embed(["x a"]), made.embed(["a"], input_type="query"))


def test_lower_case_is_made_where_the_card_says_so(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    made = LocalEmbedder(folder, home=home)

    np.testing.assert_array_equal(made.embed(["a b"]), made.embed(["A B"]))
