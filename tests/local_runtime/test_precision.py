"""What a choice of precision promises: close vectors, a space of its own, nothing silent."""

from __future__ import annotations

import base64
import json
import multiprocessing
import pickle
import re
import sys
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest

from embedway_local import (
    DeviceUnavailable,
    LocalEmbedder,
    ModelUnsupported,
    embedway_home,
    measured_agreements,
    openvino,
)
from embedway_local.precision import FLOOR

REFERENCE = Path(__file__).parent / "reference"
TEXTS: list[str] = json.loads((REFERENCE / "texts.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def int8(model_in_store: str) -> Iterator[LocalEmbedder]:
    with LocalEmbedder(model_in_store, precision="int8") as made:
        yield made


@pytest.fixture
def forgiving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random weights lose more than trained ones."""
    monkeypatch.setitem(FLOOR, "int8", 0.5)


def kept(home: Path) -> Path:
    (path,) = home.glob("graphs/*/agreement-int8.json")
    return path


def test_int8_agrees_with_sentence_transformers(int8: LocalEmbedder) -> None:
    cosines = (int8.embed(TEXTS) * np.load(REFERENCE / "vectors.npy")).sum(axis=1)

    assert cosines.min() > 0.99
    assert cosines.mean() > 0.997


def test_the_agreement_was_measured(int8: LocalEmbedder, model_in_store: str) -> None:
    found = int8.agreement

    assert found is not None
    assert found.worst > 0.995
    assert found.mean > 0.998
    assert found.spearman > 0.995
    assert found.ndcg_fp32 > 0.9
    assert abs(found.ndcg - found.ndcg_fp32) < 0.02
    assert measured_agreements(model_in_store, embedway_home())["int8"] == found


def test_in_int8_a_text_does_not_depend_on_those_beside_it(int8: LocalEmbedder) -> None:
    together = int8.embed(TEXTS)
    alone = np.concatenate([int8.embed([text]) for text in TEXTS])
    # A row of enormous numbers beside it would take the steps of a common scale away.
    beside = int8.embed([TEXTS[0], "!" * 3000, "\u2603 " * 200])[0]

    assert 1 - (alone * together).sum(axis=1).min() < 1e-5
    assert 1 - float(beside @ alone[0]) < 1e-5


def test_int8_is_a_space_of_its_own(int8: LocalEmbedder, embedder: LocalEmbedder) -> None:
    assert int8.space.fingerprint != embedder.space.fingerprint
    assert int8.space.precision == "int8"
    assert embedder.space.precision == "fp32"
    assert int8.space.weights == embedder.space.weights


def test_auto_never_changes_the_space(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    auto = LocalEmbedder(folder, home=home, precision="auto")

    assert auto.precision == "fp32"
    assert auto.agreement is None
    assert auto.space == LocalEmbedder(folder, home=home).space


def test_an_unknown_precision_is_refused(tiny: Callable, home: Path) -> None:
    with pytest.raises(ValueError, match=r"precision='int4'.*are known"):
        LocalEmbedder(tiny().folder, home=home, precision="int4")


@pytest.mark.parametrize(
    ("precision", "device", "told"),
    [
        ("int8", "cuda", "int8 runs on the processor"),
        ("bf16", "cuda", "bf16 runs on the processor"),
        ("fp16", "cpu", "fp16 runs on a CUDA card"),
    ],
)
def test_a_device_without_the_arithmetic_is_refused(
    tiny: Callable, home: Path, precision: str, device: str, told: str
) -> None:
    with pytest.raises(DeviceUnavailable, match=f"{told}.*; use "):
        LocalEmbedder(tiny().folder, home=home, precision=precision, device=device)


@pytest.mark.parametrize(("able", "told"), [(False, "bfloat16"), (True, "OpenVINO provider")])
def test_bf16_is_never_computed_as_something_else(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch, able: bool, told: str
) -> None:
    monkeypatch.setattr(openvino, "has_bf16", lambda: able)

    with pytest.raises(DeviceUnavailable, match=told):
        LocalEmbedder(tiny().folder, home=home, precision="bf16")


def test_an_openvino_that_falls_back_is_refused(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    monkeypatch.setattr(openvino, "has_bf16", lambda: True)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [openvino.PROVIDER])
    plain = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, *_, **__: plain(path, providers=["CPUExecutionProvider"]),
    )

    with pytest.raises(DeviceUnavailable, match="did not start"):
        LocalEmbedder(tiny().folder, home=home, precision="bf16")


def _ask_in_child(made: LocalEmbedder, pipe: Connection) -> None:
    try:
        made.embed(["a"])
    except DeviceUnavailable as error:
        pipe.send(str(error))
    else:
        pipe.send("vectors")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
@pytest.mark.filterwarnings("ignore:This process.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_openvinos_threads(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are in the parent only, where it goes on. The real one hangs; so here it is played."""
    import onnxruntime

    class Played(onnxruntime.InferenceSession):  # type: ignore[misc]
        def __init__(self, path: Path, *_: object, **__: object) -> None:
            super().__init__(path, providers=["CPUExecutionProvider"])

        def get_providers(self) -> list[str]:
            return [openvino.PROVIDER]

    folder = tiny().folder
    exact = LocalEmbedder(folder, home=home)
    monkeypatch.setattr(openvino, "has_bf16", lambda: True)
    monkeypatch.setattr(openvino, "_session", lambda path, _: Played(path))
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [openvino.PROVIDER])
    made = LocalEmbedder(folder, home=home, precision="bf16")
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    child = multiprocessing.get_context("fork").Process(target=_ask_in_child, args=(made, theirs))

    child.start()

    assert ours.poll(20), "the child hangs"
    assert re.match(r'OpenVINO cannot be used .* forked .*get_context\("spawn"\)', ours.recv())
    child.join(20)
    np.testing.assert_allclose(made.embed(["a"]), exact.embed(["a"]), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("forgiving")
def test_each_precision_has_a_graph_of_its_own(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    exact = LocalEmbedder(folder, home=home).embed(["a b c"])

    rough = LocalEmbedder(folder, home=home, precision="int8").embed(["a b c"])

    assert len(list((home / "graphs").glob("*/model.onnx"))) == 2
    assert not np.array_equal(exact, rough)
    assert np.array_equal(exact, LocalEmbedder(folder, home=home).embed(["a b c"]))


@pytest.mark.usefixtures("forgiving")
@pytest.mark.parametrize("damage", ["", "{", '{"version": 1}', "[]"])
def test_a_damaged_agreement_is_measured_again(tiny: Callable, home: Path, damage: str) -> None:
    folder = tiny().folder
    before = LocalEmbedder(folder, home=home, precision="int8").agreement
    kept(home).write_text(damage, "ascii")

    after = LocalEmbedder(folder, home=home, precision="int8").agreement

    assert before == after
    assert json.loads(kept(home).read_text("ascii"))["version"] == 1


@pytest.mark.usefixtures("forgiving")
def test_a_changed_number_is_no_agreement(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    before = LocalEmbedder(folder, home=home, precision="int8").agreement
    facts = json.loads(kept(home).read_text("ascii"))
    kept(home).write_text(json.dumps({**facts, "worst": 7}), "ascii")

    assert LocalEmbedder(folder, home=home, precision="int8").agreement == before


def test_a_model_that_loses_too_much_is_refused(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny().folder
    monkeypatch.setitem(FLOOR, "int8", 0.999999999)

    for _ in range(2):
        with pytest.raises(ModelUnsupported, match=r'loses too much in int8.*precision="fp32"'):
            LocalEmbedder(folder, home=home, precision="int8")


@pytest.mark.usefixtures("forgiving")
def test_a_machine_that_computes_something_else_is_refused(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    LocalEmbedder(folder, home=home, precision="int8")
    facts = json.loads(kept(home).read_text("ascii"))
    probes = -np.frombuffer(base64.b64decode(facts["probes"]), "<f4")
    facts["probes"] = base64.b64encode(probes.tobytes()).decode("ascii")
    kept(home).write_text(json.dumps(facts), "ascii")

    with pytest.raises(DeviceUnavailable, match=r"measured.*delete .*agreement-int8"):
        LocalEmbedder(folder, home=home, precision="int8")


@pytest.mark.usefixtures("forgiving")
def test_a_pickled_embedder_keeps_its_precision(tiny: Callable, home: Path) -> None:
    made = LocalEmbedder(tiny().folder, home=home, precision="int8")

    again = pickle.loads(pickle.dumps(made))

    assert again.precision == "int8"
    assert again.space == made.space


def test_what_was_never_measured_is_not_listed(home: Path) -> None:
    assert measured_agreements("org/nothing", home) == {}
