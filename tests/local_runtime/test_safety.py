"""A model's files come from strangers: whatever they hold, there are vectors or a `LocalError`."""

from __future__ import annotations

import copy
import json
import shutil
import sys
import tempfile
import threading
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedway_local import LocalEmbedder, LocalError, ModelCorrupt, ModelNotFound, ModelUnsupported

Json: TypeAlias = object

TEXTS = ["a b c", "", "z " * 40]
FILES = {
    "modules.json": [
        {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    ],
    "config_sentence_transformers.json": {"prompts": {"query": "q ", "document": ""}},
    "sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": False},
    "tokenizer_config.json": {"model_max_length": 12},
}
NASTY: list[Json] = [
    *(None, True, False, 0, -1, 1, 2, 2**31, 2**60, 10**400, -(2**63)),
    *(1.5, float("nan"), float("inf"), "", "x", "../../etc", "/etc", "a" * 5000, "\ud800", "\0"),
    *([], {}, [[]], [None], {"a": None}, ["mean", "cls"], {"x": {"y": [1]}}),
]


@pytest.fixture
def folder(tiny: Callable) -> Path:
    """A small random BERT with every settings file that is ever read."""
    made: Path = tiny().folder
    for name, body in FILES.items():
        (made / name).write_text(json.dumps(body))
    return made


def places(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value inside."""
    if path:
        yield path
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield from places(inner, (*path, key))


def spoiled(value: Json, data: st.DataObject) -> Json:
    """The same with one value replaced or taken away, somewhere."""
    value = copy.deepcopy(value)
    *way, last = data.draw(st.sampled_from(list(places(value))))
    inner = value
    for key in way:
        inner = inner[key]  # type: ignore[index]
    if data.draw(st.booleans()):
        inner[last] = data.draw(st.sampled_from(NASTY))  # type: ignore[index]
    else:
        del inner[last]  # type: ignore[attr-defined]
    return value


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from([*FILES, "config.json", "1_Pooling/config.json", *["tokenizer.json"] * 3]),
    data=st.data(),
)
def test_a_model_with_any_file_spoiled_embeds_or_is_a_local_error(
    folder: Path, home: Path, file: str, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as place:
        copied = shutil.copytree(folder, Path(place) / "model")
        body = json.dumps(spoiled(json.loads((folder / file).read_text()), data))
        (copied / file).write_text(body)
        try:
            with LocalEmbedder(copied, home=home, device="cpu", threads=1) as made:
                vectors = made.embed(TEXTS, input_type="query")
        except LocalError:
            return
    assert np.isfinite(vectors).all()


def broken(folder: Path, home: Path, kind: type[LocalError] = ModelCorrupt) -> str:
    with pytest.raises(kind) as caught:
        LocalEmbedder(folder, home=home, device="cpu", threads=1).embed(TEXTS)
    return str(caught.value)


def test_a_tokenizer_that_breaks_its_library_is_corrupt(folder: Path, home: Path) -> None:
    """Rust panics there, which Python sees as a BaseException."""
    path = folder / "tokenizer.json"
    body = json.loads(path.read_text())
    body["post_processor"]["special_tokens"].pop("[SEP]")
    path.write_text(json.dumps(body))

    assert str(path) in broken(folder, home)


def test_a_token_beyond_the_vocabulary_is_an_error(folder: Path, home: Path) -> None:
    path = folder / "tokenizer.json"
    for token in (30, 2**31):
        body = json.loads(path.read_text())
        body["model"]["vocab"]["a"] = token
        path.write_text(json.dumps(body))

        assert broken(folder, home, LocalError)


@pytest.mark.parametrize("name", ["tokenizer.json", "onnx/model.onnx"])
def test_a_file_that_is_far_too_large_is_not_read(folder: Path, home: Path, name: str) -> None:
    """The file is a hole, which takes no disk; reading it would take gigabytes of memory."""
    (folder / "onnx").mkdir()
    if name.startswith("onnx"):
        (folder / "model.safetensors").unlink()
    with (folder / name).open("wb") as file:
        file.truncate(2**31)

    assert "larger than" in broken(folder, home)


@pytest.mark.parametrize("place", ["../other", "/etc", "..", "a/b"])
def test_settings_outside_of_the_folder_are_not_read(folder: Path, home: Path, place: str) -> None:
    modules = [{"path": place, "type": "sentence_transformers.models.Pooling"}]
    (folder / "modules.json").write_text(json.dumps(modules))

    assert "is not in it" in broken(folder, home)


@pytest.mark.parametrize("name", ["a" * 5000, "../w", "/etc/passwd", "\0", "sub/w", ""])
def test_weights_outside_of_the_folder_are_not_read(folder: Path, home: Path, name: str) -> None:
    shutil.move(folder / "model.safetensors", folder.parent / "w")
    (folder / "sub").mkdir()
    shutil.copy(folder.parent / "w", folder / "sub" / "w")
    index = {"weight_map": {"a": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    assert "not beside it" in broken(folder, home)


def test_code_that_comes_with_a_model_is_never_run(folder: Path, home: Path) -> None:
    mark = folder / "was-run"
    code = f"open({str(mark)!r}, 'w').close()"
    for name in ("modeling_x", "configuration_x", "tokenization_x", "__init__"):
        (folder / f"{name}.py").write_text(code)
    path = folder / "config.json"
    config = {
        **json.loads(path.read_text()),
        "auto_map": {"AutoModel": "modeling_x.BertModel", "AutoConfig": "configuration_x.Config"},
        "trust_remote_code": True,
    }
    path.write_text(json.dumps(config))
    with LocalEmbedder(folder, home=home, device="cpu") as made:
        assert made.embed(["a"]).shape == (1, 24)
    path.write_text(json.dumps({**config, "model_type": "of-its-own"}))

    assert "of-its-own" in broken(folder, home, ModelUnsupported)
    assert not mark.exists()
    assert not {"modeling_x", "configuration_x"} & set(sys.modules)


def test_pickled_weights_are_never_opened(folder: Path, home: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04cos\n_exit\n(I9\ntR.")

    assert "pytorch_model.bin" in broken(folder, home, ModelNotFound)


# Cancelling, and the same again


def test_an_interrupt_ends_the_call_and_nothing_else(folder: Path, home: Path) -> None:
    with LocalEmbedder(folder, home=home, device="cpu") as made:
        expected = made.embed(TEXTS)

        class Endless(list[str]):
            """Interrupts, as Ctrl-C would, once the work has begun."""

            def __getitem__(self, place: object) -> list[str]:  # type: ignore[override]
                if place.start:  # type: ignore[attr-defined]
                    interrupt_main()
                return ["a b c d"] * 2048

            def __len__(self) -> int:
                return 2048 * 5000

        with pytest.raises(KeyboardInterrupt):
            made.embed(Endless())

        np.testing.assert_array_equal(made.embed(TEXTS), expected)


def test_vectors_are_the_same_from_run_to_run_to_the_last_bit(folder: Path, home: Path) -> None:
    random = np.random.default_rng(5)
    texts = [
        " ".join("abcdefgh"[n] for n in random.integers(0, 8, size=k % 15)) for k in range(300)
    ]
    with LocalEmbedder(folder, home=home, device="cpu") as made:
        first = made.embed(texts)
        again = made.embed(texts)
    with LocalEmbedder(folder, home=home, device="cpu") as made:
        anew = made.embed(texts)

    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, anew)


def test_eight_threads_at_once_get_what_one_gets(folder: Path, home: Path) -> None:
    with LocalEmbedder(folder, home=home, device="cpu") as made:
        batches = [[f"{letter} b c"] * (3 * n + 1) for n, letter in enumerate("abcdefgh")]
        alone = [made.embed(batch) for batch in batches]
        found: list[np.ndarray | None] = [None] * len(batches)

        def work(index: int) -> None:
            for _ in range(20):
                found[index] = made.embed(batches[index])

        threads = [threading.Thread(target=work, args=(n,)) for n in range(len(batches))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    for one, other in zip(alone, found, strict=True):
        np.testing.assert_array_equal(one, other)
