import json
import logging
import multiprocessing
import pickle
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedway_local import DEFAULT_MODEL, LocalEmbedder, ModelNotFound, ModelUnsupported, embedder
from embedway_local.machine import usable_cores

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
    monkeypatch.setattr(embedder, "_WINDOW", 7)

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
    monkeypatch.setattr(embedder, "_WINDOW", 2)

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


def test_prompts_can_be_replaced(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    made = LocalEmbedder(folder, home=home, prompts={"query": "x "})

    np.testing.assert_array_equal(made.embed(["x a"]), made.embed(["a"], input_type="query"))


def test_lower_case_is_made_where_the_card_says_so(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    (folder / "sentence_bert_config.json").write_text('{"do_lower_case": true}')
    made = LocalEmbedder(folder, home=home)

    np.testing.assert_array_equal(made.embed(["a b"]), made.embed(["A B"]))


# Threads and processes


def workers_since(before: set[int | None]) -> int:
    return sum(
        thread.name.startswith("embedway-local") and thread.ident not in before
        for thread in threading.enumerate()
    )


def test_many_threads_get_what_one_gets_and_share_the_cores(model_in_store: str) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    random = np.random.default_rng(3)
    choices = [random.integers(0, len(TEXTS), size=random.integers(1, 20)) for _ in range(24)]

    with LocalEmbedder(model_in_store) as made, ThreadPoolExecutor(8) as pool:

        def one(chosen: np.ndarray) -> tuple[np.ndarray, int]:
            return made.embed([TEXTS[index] for index in chosen]), workers_since(before)

        found = list(pool.map(one, choices, timeout=60))

    for chosen, (vectors, workers) in zip(choices, found, strict=True):
        np.testing.assert_allclose(vectors, VECTORS[chosen], rtol=0, atol=1e-6)
        assert workers <= usable_cores()


def test_threads_bounds_the_workers(tiny: Callable, home: Path) -> None:
    before = {thread.ident for thread in threading.enumerate()}
    made = LocalEmbedder(tiny().folder, home=home, threads=1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: made.embed(["a b c"] * 300), range(4)))

    assert 1 == workers_since(before)


def test_one_text_does_not_wait_behind_all_of_a_bulk(embedder: LocalEmbedder) -> None:
    bulk = threading.Thread(target=embedder.embed, args=(["word " * 200] * 60,))
    begun = time.monotonic()
    bulk.start()
    time.sleep(0.1)
    asked = time.monotonic()
    embedder.embed(["a query"])
    waited = time.monotonic() - asked
    bulk.join()

    assert waited < (time.monotonic() - begun) / 4


def _in_child(made: LocalEmbedder, pipe: "multiprocessing.connection.Connection") -> None:
    pipe.send(made.embed(TEXTS[:8]))
    made.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.parametrize("busy", [False, True])
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_goes_on(embedder: LocalEmbedder, busy: bool) -> None:
    """Also when another thread was inside the runtime, and held its locks, at that moment."""
    embedder.embed(["used before"])
    stop = threading.Event()

    def keep_busy() -> None:
        while not stop.is_set():
            embedder.embed(TEXTS[20:40])

    threads = [threading.Thread(target=keep_busy) for _ in range(2 * busy)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            ours, theirs = multiprocessing.get_context("fork").Pipe()
            child = multiprocessing.get_context("fork").Process(
                target=_in_child, args=(embedder, theirs)
            )
            child.start()
            assert ours.poll(20), "the child hangs"
            np.testing.assert_allclose(ours.recv(), VECTORS[:8], rtol=0, atol=1e-6)
            child.join(20)

            assert 0 == child.exitcode
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_pickled_embedder_is_opened_again(tiny: Callable, home: Path) -> None:
    made = LocalEmbedder(
        tiny().folder, home=home, pooling="cls", max_tokens=9, prompts={"query": "q "}, threads=1
    )

    again = pickle.loads(pickle.dumps(made))

    assert made.space == again.space
    np.testing.assert_array_equal(
        made.embed(["a b"], input_type="query"), again.embed(["a b"], input_type="query")
    )


def test_a_closed_embedder_refuses(tiny: Callable, home: Path) -> None:
    with LocalEmbedder(tiny().folder, home=home) as made:
        made.embed(["a"])

    with pytest.raises(RuntimeError, match="closed"):
        made.embed(["a"])
    made.close()
