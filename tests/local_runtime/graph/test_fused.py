"""The graphs for cards: on the processor where it has the kernels, else in numpy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx.reference import ReferenceEvaluator

from doubles.contrib import OPERATORS
from embedway_local import LocalEmbedder, ModelCorrupt, ModelUnsupported, embedway_home
from embedway_local.checkpoint import Checkpoint, read_checkpoint
from embedway_local.gpu.feed import feed_of
from embedway_local.graph.card import card_graph
from embedway_local.graph.fused import fused
from embedway_local.source.find import find
from embedway_local.store import Store
from embedway_local.tokenise import Tokeniser

TEXTS = ["", "a", "z y x", "a b c d e f g h i j k l m n o p", "unknown a a", "h e l l o"]
REFERENCE = Path(__file__).parent.parent / "reference"


def with_kernels(model: onnx.ModelProto) -> Callable:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feed = feed_of(session, pad=0)
    return lambda ids: session.run(None, feed(ids))[0]


def in_numpy(model: onnx.ModelProto) -> Callable:
    evaluator = ReferenceEvaluator(model, new_ops=OPERATORS)
    feed = feed_of(Inputs(model), pad=0)
    return lambda ids: evaluator.run(None, feed(ids))[0]


class Inputs:
    """What a session says of its inputs."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._inputs = model.graph.input

    def get_inputs(self):
        kinds = {onnx.TensorProto.INT32: "tensor(int32)", onnx.TensorProto.FLOAT: "tensor(float)"}

        class Input:
            def __init__(self, item):
                self.name, self.type = item.name, kinds[item.type.tensor_type.elem_type]

        return [Input(item) for item in self._inputs]


def vectors_of(run: Callable, folder: Path, texts: list[str]) -> np.ndarray:
    checkpoint = read_checkpoint(folder)
    return run(Tokeniser(checkpoint).encode(texts)[0])


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
@pytest.mark.parametrize(("packed", "runs"), [(False, with_kernels), (True, in_numpy)])
def test_the_fused_graph_computes_what_the_plain_one_does(
    tiny: Callable, home: Path, pooling: str, activation: str, packed: bool, runs: Callable
) -> None:
    model = tiny(pooling=pooling, hidden_act=activation)
    expected = LocalEmbedder(model.folder, home=home, device="cpu").embed(TEXTS)

    made = fused(read_checkpoint(model.folder), packed=packed, half=False)
    vectors = vectors_of(runs(made), model.folder, TEXTS)

    # FastGelu's constants have six digits.
    exact = 1e-6 if activation == "gelu" else 1e-5
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=exact)


@pytest.mark.parametrize(("packed", "runs"), [(False, with_kernels), (True, in_numpy)])
def test_a_text_without_any_token_gets_the_plain_graphs_vector(
    tiny: Callable, home: Path, packed: bool, runs: Callable
) -> None:
    model = tiny(special=False)
    texts = ["", "a b", ""]
    expected = LocalEmbedder(model.folder, home=home, device="cpu").embed(texts)

    made = fused(read_checkpoint(model.folder), packed=packed, half=False)
    vectors = vectors_of(runs(made), model.folder, texts)

    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)
    assert not vectors[0].any()


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-bert-with-head"])
@pytest.mark.parametrize(("packed", "runs"), [(False, with_kernels), (True, in_numpy)])
def test_the_fused_graph_equals_transformers(name: str, packed: bool, runs: Callable) -> None:
    folder = REFERENCE / name
    texts = json.loads((folder / "texts.json").read_text())
    checkpoint = read_checkpoint(folder, pooling="mean")

    vectors = runs(fused(checkpoint, packed=packed, half=False))(
        Tokeniser(checkpoint).encode(texts)[0]
    )

    np.testing.assert_allclose(vectors, np.load(folder / "expected.npz")["mean"], rtol=0, atol=1e-5)


def test_the_default_model_is_exact_in_the_fused_graph(model_in_store: str) -> None:
    checkpoint = find(model_in_store, Store(embedway_home()))
    texts = json.loads((REFERENCE / "texts.json").read_text())[:8]
    expected = np.load(REFERENCE / "vectors.npy")[:8]
    ids = Tokeniser(checkpoint).encode(texts)[0]

    single = with_kernels(fused(checkpoint, packed=False, half=False))(ids)
    half = with_kernels(fused(checkpoint, packed=False, half=True))(ids)

    np.testing.assert_allclose(single, expected, rtol=0, atol=1e-5)
    assert (half * expected).sum(1).min() > 0.9999


@pytest.mark.parametrize("packed", [False, True])
def test_half_precision_is_what_the_weights_are_kept_in(tiny: Callable, packed: bool) -> None:
    made = fused(read_checkpoint(tiny().folder), packed=packed, half=True)

    floats = {item.data_type for item in made.graph.initializer if len(item.dims) == 2}
    assert {onnx.TensorProto.FLOAT16} == floats
    assert onnx.TensorProto.FLOAT == made.graph.output[0].type.tensor_type.elem_type


@pytest.mark.parametrize("half", [False, True])
def test_onnx_runtime_knows_the_packed_graphs_operators(tiny: Callable, half: bool) -> None:
    """Its types and shapes are accepted; only the kernels, which a processor lacks, are missed."""
    made = fused(read_checkpoint(tiny().folder), packed=True, half=half)

    with pytest.raises(Exception, match="PackedMultiHeadAttention") as raised:
        with_kernels(made)

    assert "NOT_IMPLEMENTED" in str(raised.value)


@pytest.mark.parametrize("packed", [False, True])
def test_nothing_in_the_fused_graph_asks_for_a_shape(tiny: Callable, packed: bool) -> None:
    """Shapes live on the processor, and a graph with work there cannot be captured."""
    made = fused(read_checkpoint(tiny().folder), packed=packed, half=False)

    assert not {"Shape", "Range", "NonZero"} & {node.op_type for node in made.graph.node}


def test_weights_beyond_half_precision_are_refused(tiny: Callable) -> None:
    from safetensors.numpy import load_file, save_file

    folder = tiny().folder
    weights = load_file(folder / "model.safetensors")
    weights["embeddings.LayerNorm.weight"] = weights["embeddings.LayerNorm.weight"] + 7e4
    save_file(weights, folder / "model.safetensors")

    with pytest.raises(ModelUnsupported, match='precision="fp32"'):
        fused(read_checkpoint(folder), packed=False, half=True)


def test_only_bert_has_a_fused_graph(tiny: Callable) -> None:
    folder = tiny(model_type="electra").folder

    with pytest.raises(ModelUnsupported, match="only for BERT"):
        fused(read_checkpoint(folder), packed=False, half=False)


def test_each_form_is_built_once_and_kept(tiny: Callable, home: Path) -> None:
    checkpoint = read_checkpoint(tiny().folder)
    forms = [(packed, half) for packed in (False, True) for half in (False, True)]

    paths = [card_graph(checkpoint, home, packed=packed, half=half) for packed, half in forms]
    made = [path.stat().st_mtime_ns for path in paths]

    assert 4 == len(set(paths))
    again = [card_graph(checkpoint, home, packed=packed, half=half) for packed, half in forms]
    assert paths == again
    assert made == [path.stat().st_mtime_ns for path in again]


def test_a_folder_that_changes_while_it_is_built_leaves_no_fused_graph(
    tiny: Callable, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tiny("one").folder, tiny("two", layer_norm_eps=0.25).folder

    def overtaken(checkpoint: Checkpoint, *, packed: bool, half: bool) -> onnx.ModelProto:
        (two / "model.safetensors").replace(one / "model.safetensors")
        return fused(checkpoint, packed=packed, half=half)

    monkeypatch.setattr("embedway_local.graph.fused.fused", overtaken)

    with pytest.raises(ModelCorrupt, match="changed while it was read"):
        card_graph(read_checkpoint(one), home, packed=False, half=False)
    assert not list(home.glob("graphs/*/model.onnx"))
