"""The fast ways on a card: taken where they give the right vectors, and only there."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from doubles.cuda_runtime import CUDA
from doubles.vectors import IDS, near
from embedway_local import DeviceUnavailable, LocalEmbedder, LocalError
from embedway_local.checkpoint import read_checkpoint
from embedway_local.graph.cache import built
from embedway_local.graph.card import card_graph
from embedway_local.graph.table import table_rows


def test_short_queries_are_replayed_in_buckets(model, expected: np.ndarray, runtime: Callable):
    fake = runtime()
    loaded = model.load("cuda")
    captured = fake.on(CUDA)[-1]
    assert "1" == captured.asked[CUDA]["enable_cuda_graph"]
    captured.runs.clear()
    captured.shapes.clear()

    near(loaded.session.run([IDS[1]]), expected[1:2])

    assert [{"gpu_graph_id": "1"}] == captured.runs
    assert [(1, 16)] == captured.shapes
    near(loaded.session.run([IDS[2]]), expected[2:3])  # 18 tokens: longer than any bucket
    near(loaded.session.run(IDS), expected)
    assert [(1, 16)] == captured.shapes


def test_captured_queries_all_run_in_one_thread(model, runtime: Callable, monkeypatch) -> None:
    """ONNX Runtime keeps its captures by thread."""
    fake = runtime()
    loaded = model.load("cuda")
    captured = fake.on(CUDA)[-1]
    threads = set()
    inner = captured.compute
    monkeypatch.setattr(
        captured, "compute", lambda *a: (threads.add(threading.get_ident()), inner(*a))[1]
    )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: loaded.session.run([IDS[0]]), range(20)))

    assert 1 == len(threads)


def test_capture_can_be_switched_off(model, runtime: Callable) -> None:
    fake = runtime()

    model.load("cuda", capture=False)

    assert all("enable_cuda_graph" not in item.asked[CUDA] for item in fake.on(CUDA))


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_pooling_by_the_last_token_is_never_captured(
    tiny: Callable, home, runtime: Callable, caplog: pytest.LogCaptureFixture, precision: str
) -> None:
    folder = tiny(pooling="lasttoken").folder
    with LocalEmbedder(folder, home=home, device="cpu") as plain:
        expected = plain.embed(["a b c"])
    fake = runtime()

    with LocalEmbedder(folder, home=home, device="cuda", precision=precision) as embedder:
        near(embedder.embed(["a b c"]), expected, 1e-6 if precision == "fp32" else 2e-3)

    assert all("enable_cuda_graph" not in item.asked.get(CUDA, {}) for item in fake.made)
    assert any("captured queries: they cannot pool by the last" in line for line in caplog.messages)


@pytest.mark.parametrize("fault", [{"raises": {"captured"}}, {"wrong": {"captured": 1e-4}}])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_capture_that_fails_or_differs_is_left_out(
    model,
    expected: np.ndarray,
    runtime: Callable,
    caplog: pytest.LogCaptureFixture,
    fault: dict,
    precision: str,
) -> None:
    if precision == "fp16":
        fault = {
            key: {"captured": 0.5} if key == "wrong" else value for key, value in fault.items()
        }
    runtime(**fault)

    loaded = model.load("cuda", precision=precision)

    assert any("does without captured queries" in line for line in caplog.messages)
    near(loaded.session.run([IDS[1]]), expected[1:2], 2e-3)


def test_a_capture_that_somebody_else_broke_is_made_again(
    model, expected: np.ndarray, runtime: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    """A tensor of torch's that is freed meanwhile, say, breaks any capture of the process."""
    fake = runtime()

    def free() -> None:
        with suppress(RuntimeError):
            fake.require_no_capture()

    fake.faults.capturing = free

    loaded = model.load("cuda")

    assert ["does without captured queries: capture failed"] == [
        line[len("card 0 ") :].partition(": CUDA")[0]
        for line in caplog.messages
        if "does without" in line
    ]
    captured = fake.on(CUDA)[-1]
    captured.runs.clear()
    near(loaded.session.run([IDS[1]]), expected[1:2])
    assert [{"gpu_graph_id": "1"}] == captured.runs


@pytest.mark.parametrize(
    ("fault", "form"),
    [
        ({}, "fp16, packed"),
        ({"raises": {"packed"}}, "fp16, padded"),
        ({"wrong": {"packed": 0.5}}, "fp16, padded"),
        ({"wrong": {"packed": float("inf")}}, "fp16, padded"),
    ],
    ids=str,
)
def test_half_precision_runs_in_the_best_form_that_gives_the_right_vectors(
    model,
    expected: np.ndarray,
    runtime: Callable,
    caplog: pytest.LogCaptureFixture,
    fault: dict,
    form: str,
) -> None:
    runtime(**fault)

    loaded = model.load("cuda", precision="fp16")

    assert f"running on cuda: asked for ({form})" == caplog.messages[-1]
    assert "fp16" == loaded.precision
    near(loaded.session.run(IDS), expected, 2e-3)
    near(loaded.session.run([IDS[0]]), expected[:1], 2e-3)


@pytest.mark.parametrize(
    ("longest", "beyond", "form"),
    [
        (700, 256, "fp16, padded"),
        (700, 384, "fp16, padded"),
        (700, 512, "fp16, padded"),
        (400, 384, "fp16, padded"),
        (700, 640, "fp16, packed"),
    ],
)
def test_half_precision_is_tried_with_the_kernels_of_long_texts(
    tiny: Callable, model, home, runtime, caplog, longest: int, beyond: int, form: str
) -> None:
    """ONNX Runtime takes others from 385 and from 513 tokens on."""
    checkpoint = read_checkpoint(tiny(max_position_embeddings=longest).folder)
    fused = partial(card_graph, checkpoint, home)
    longer = replace(model, path=built(checkpoint, home), fused=fused)
    runtime(wrong={"packed": 0.5}, beyond=beyond)

    longer.load("cuda", precision="fp16", longest=longest, trial=[[1, 2], [1, *[5] * 998, 2]])

    assert f"running on cuda: asked for ({form})" == caplog.messages[-1]


@pytest.mark.parametrize(
    "options",
    [
        {"raises": {"packed", "padded"}},
        {"wrong": {"packed": 0.5, "padded": 0.5}},
        {},
    ],
    ids=["both fail", "both are wrong", "there is none"],
)
def test_half_precision_is_never_replaced_by_single(
    model, runtime: Callable, options: dict
) -> None:
    """It would be another vector space."""
    runtime(**options)
    graph = {} if options else {"fused": None}

    with pytest.raises(DeviceUnavailable, match=r'neither .* fp16 works .*use precision="fp32"'):
        model.load("cuda", precision="fp16", **graph)


@pytest.mark.parametrize(
    ("device", "fault", "options"),
    [
        ("cuda", {}, {}),
        ("cuda", {}, {"precision": "fp16"}),
        ("cuda", {"raises": {"bound"}}, {"capture": False}),
        ("tensorrt", {}, {"precision": "fp16"}),
    ],
    ids=["captured and bound", "half precision", "session", "tensorrt"],
)
@pytest.mark.parametrize("ids", [[[1, 30, 2]], [[1, 4, 2], [1, 999, 2]]], ids=["one", "two"])
def test_a_token_beyond_the_models_table_is_an_error_on_a_card_too(
    model, runtime: Callable, device: str, fault: dict, options: dict, ids: list
) -> None:
    """The processor refuses it; a card reads zeros, and its vector looks like any other."""
    runtime(**fault)
    loaded = model.load(device, **options)

    with pytest.raises(LocalError, match=r"no token \d+: .* table has 30 rows; .* one revision"):
        loaded.session.run(ids)


def hidden(path: Path) -> Path:
    """The same graph, with a step before its table that nobody follows."""
    graph = onnx.load(path)
    (lookup,) = (
        node for node in graph.graph.node if node.op_type == "Gather" and "ids" in node.input
    )
    row = next(row for row, node in enumerate(graph.graph.node) if node == lookup)
    lookup.input[list(lookup.input).index("ids")] = "same"
    graph.graph.initializer.append(onnx.numpy_helper.from_array(np.zeros(1, np.int32), "nothing"))
    graph.graph.node.insert(row, onnx.helper.make_node("Add", ["ids", "nothing"], ["same"]))
    made = path.with_name("hidden.onnx")
    onnx.save(graph, made)
    return made


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_graph_that_hides_its_table_is_asked_on_the_processor_what_it_takes(
    model, expected: np.ndarray, runtime: Callable, exact: None, device: str
) -> None:
    runtime()
    path = hidden(model.path)
    assert table_rows(path) is None
    loaded = replace(model, path=path, fused=None).load(device, precision="fp32")

    near(loaded.session.run(IDS), expected)
    near(loaded.session.run([[1, 29, 2]]), model.load("cpu").session.run([[1, 29, 2]]))
    with pytest.raises(LocalError, match=r"no token 30: .* table has 30 rows"):
        loaded.session.run([[1, 30, 2]])


def test_a_tokenizer_with_more_tokens_than_the_model_still_serves_its_other_texts(
    model, home, runtime: Callable
) -> None:
    """Words of the texts that a card is tried with are among those that have no row."""
    path = model.folder / "tokenizer.json"
    words = json.loads(path.read_text())
    words["model"]["vocab"] |= {"cat": 30, "fox": 77}
    path.write_text(json.dumps(words))
    with LocalEmbedder(model.folder, home=home, device="cpu") as plain:
        expected = plain.embed(["a b"])
    runtime()

    with LocalEmbedder(model.folder, home=home, device="cuda") as embedder:
        near(embedder.embed(["a b"]), expected)
        with pytest.raises(LocalError, match="no token 77"):
            embedder.embed(["a fox"])


def test_vectors_that_are_no_numbers_are_an_error(model, runtime: Callable) -> None:
    fake = runtime()
    loaded = model.load("cuda", precision="fp16")
    fake.faults.wrong["packed"] = float("nan")

    with pytest.raises(LocalError, match='use precision="fp32"'):
        loaded.session.run(IDS)


def test_an_embedder_in_half_precision_is_a_space_of_its_own_and_knows_how_far_it_agrees(
    model, home, runtime: Callable
) -> None:
    texts = ["a b c", "hello", "z " * 15]
    with LocalEmbedder(model.folder, home=home, device="cpu") as plain:
        expected, space = plain.embed(texts), plain.space
    runtime()

    with LocalEmbedder(model.folder, home=home, device="cuda", precision="fp16") as embedder:
        assert ("cuda", "fp16") == (embedder.device, embedder.space.precision)
        assert space.fingerprint != embedder.space.fingerprint
        assert embedder.agreement.worst > 0.999
        near(embedder.embed(texts), expected, 2e-3)
