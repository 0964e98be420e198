"""The built graph, against BERT spelled out in numpy and against transformers."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embedway_local import LocalEmbedder, ModelCorrupt, ModelUnsupported

REFERENCE = Path(__file__).parent.parent / "reference"
TEXTS = [
    "",
    "a",
    "z y x",
    "a b c d e f g h i j k l m n o p",
    "a a a a",
    "unknown",
    "h e l l o " * 9,
]


def gelu(x, kind):
    if kind == "gelu":
        return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def norm(x, weights, name, epsilon):
    middle = x.mean(-1, keepdims=True)
    spread = ((x - middle) ** 2).mean(-1, keepdims=True)
    unit = (x - middle) / np.sqrt(spread + epsilon)
    return unit * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x, weights, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def attention(x, weights, name, heads):
    out = []
    query, key, value = (linear(x, weights, f"{name}.{part}") for part in ("query", "key", "value"))
    for q, k, v in zip(*(np.split(part, heads, -1) for part in (query, key, value)), strict=True):
        scores = np.exp(q @ k.T / math.sqrt(q.shape[-1]))
        out.append(scores / scores.sum(-1, keepdims=True) @ v)
    return np.concatenate(out, -1)


def bert(ids, weights, config):
    """The last hidden state of one text, (length, hidden), in double precision."""
    weights = {name: value.astype(np.float64) for name, value in weights.items()}
    epsilon = config.get("layer_norm_eps", 1e-12)
    x = (
        weights["embeddings.word_embeddings.weight"][ids]
        + weights["embeddings.position_embeddings.weight"][: len(ids)]
        + weights["embeddings.token_type_embeddings.weight"][0]
    )
    x = norm(x, weights, "embeddings.LayerNorm", epsilon)
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}"
        mixed = attention(x, weights, f"{layer}.attention.self", config["num_attention_heads"])
        mixed = linear(mixed, weights, f"{layer}.attention.output.dense")
        x = norm(x + mixed, weights, f"{layer}.attention.output.LayerNorm", epsilon)
        wide = linear(x, weights, f"{layer}.intermediate.dense")
        wide = gelu(wide, config.get("hidden_act", "gelu"))
        narrow = linear(wide, weights, f"{layer}.output.dense")
        x = norm(x + narrow, weights, f"{layer}.output.LayerNorm", epsilon)
    return x


def token_ids(text, maximum):
    words = text.split()[: maximum - 2]
    known = {letter: index for index, letter in enumerate("abcdefghijklmnopqrstuvwxyz", 4)}
    return [1, *(known.get(word, 3) for word in words), 2]


def expected_vectors(model, pooling):
    rows = []
    for text in TEXTS:
        ids = token_ids(text, model.config["max_position_embeddings"])
        states = bert(ids, model.weights, model.config)
        row = {"cls": states[0], "mean": states.mean(0), "last": states[-1]}[pooling]
        rows.append(row / np.linalg.norm(row))
    return np.array(rows)


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh"])
def test_the_graph_computes_bert(tiny: Callable, home: Path, pooling: str, activation: str) -> None:
    model = tiny(hidden_act=activation)

    vectors = LocalEmbedder(model.folder, home=home, pooling=pooling).embed(TEXTS)

    np.testing.assert_allclose(vectors, expected_vectors(model, pooling), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"prefix": "bert."},
        {"prefix": "model.bert.", "legacy": True},
        {"kind": "F16"},
        {"kind": "BF16"},
        {"shards": 3},
        {"shards": 2, "kind": "BF16", "prefix": "bert."},
        {"layer_norm_eps": 0.01, "num_attention_heads": 1, "num_hidden_layers": 1},
        {"hidden_size": 12, "num_attention_heads": 12, "intermediate_size": 7},
    ],
    ids=str,
)
def test_every_way_to_store_weights_is_read(tiny: Callable, home: Path, options: dict) -> None:
    model = tiny(**options)

    vectors = LocalEmbedder(model.folder, home=home).embed(TEXTS)

    np.testing.assert_allclose(vectors, expected_vectors(model, "mean"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["tiny-bert", "tiny-bert-with-head"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_the_graph_equals_transformers(home: Path, name: str, pooling: str) -> None:
    """Made by reference/make_tiny.py; other weights, activation, epsilon and tensor names."""
    folder = REFERENCE / name
    texts = json.loads((folder / "texts.json").read_text())
    expected = np.load(folder / "expected.npz")[pooling]

    vectors = LocalEmbedder(folder, home=home, pooling=pooling).embed(texts)

    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


def test_a_text_without_any_token_gets_a_finite_vector(tiny: Callable, home: Path) -> None:
    model = tiny(special=False)

    for pooling in ("cls", "mean", "last"):
        vectors = LocalEmbedder(model.folder, home=home, pooling=pooling).embed(["", "a b", ""])

        assert np.isfinite(vectors).all()
        assert np.linalg.norm(vectors[1]) == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"position_embedding_type": "relative_key"}, ModelUnsupported, "relative_key"),
        ({"is_decoder": True}, ModelUnsupported, "decoder"),
        ({"hidden_act": "swish"}, ModelUnsupported, "swish"),
        ({"num_attention_heads": 5}, ModelCorrupt, "5 heads"),
        ({"layer_norm_eps": "x"}, ModelCorrupt, "layer_norm_eps"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_variant_whose_graph_would_differ_is_refused(
    tiny: Callable, home: Path, changes: dict, error: type[Exception], words: str
) -> None:
    model = tiny(**changes)

    with pytest.raises(error, match=words):
        LocalEmbedder(model.folder, home=home)


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 48},
        {"intermediate_size": 8},
        {"num_hidden_layers": 3},
        {"max_position_embeddings": 30},
    ],
    ids=str,
)
def test_a_config_that_is_not_its_weights_is_refused(
    tiny: Callable, home: Path, changes: dict
) -> None:
    model = tiny()
    config = json.dumps({**model.config, **changes})
    (model.folder / "config.json").write_text(config)

    with pytest.raises(ModelCorrupt, match=r"shape|no tensor"):
        LocalEmbedder(model.folder, home=home)

    assert not list(home.rglob("model.onnx"))
