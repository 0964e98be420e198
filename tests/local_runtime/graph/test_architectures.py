"""The graphs of the other architectures, against transformers (reference/make_architectures.py)."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embedway_local import LocalEmbedder, ModelCorrupt, ModelUnsupported

REFERENCE = Path(__file__).parent.parent / "reference" / "architectures"
NAMES = sorted(folder.name for folder in REFERENCE.iterdir())


@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
@pytest.mark.parametrize("name", NAMES)
def test_the_graph_equals_transformers(home: Path, name: str, pooling: str) -> None:
    """Texts of mixed lengths in one call, and each alone; some longer than the local attention."""
    folder = REFERENCE / name
    texts = json.loads((folder / "texts.json").read_text())
    expected = np.load(folder / "expected.npz")[pooling]

    with LocalEmbedder(folder, home=home, pooling=pooling) as embedder:
        together = embedder.embed(texts)
        alone = np.concatenate([embedder.embed([text]) for text in texts])

    np.testing.assert_allclose(together, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a reference checkpoint with other settings; None takes a setting away."""

    def make(name: str, **changes: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(REFERENCE / name, folder)
        config = {**json.loads((folder / "config.json").read_text()), **changes}
        stated = {key: value for key, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(stated))
        return folder

    return make


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("roberta", {"model_type": "camembert"}),
        ("gte-native", {"model_type": "new", "rope_parameters": None, "rope_theta": 160_000}),
        ("qwen3", {"rope_parameters": None, "rope_theta": 50.0, "rope_scaling": {}}),
        ("qwen3", {"use_bidirectional_attention": False, "is_causal": True}),
        (
            "modernbert",
            {
                "layer_types": None,
                "global_attn_every_n_layers": 3,
                "rope_parameters": None,
                "global_rope_theta": 200.0,
                "local_rope_theta": 20.0,
            },
        ),
        ("nomic", {"rope_parameters": {"rope_theta": 50}, "head_dim": None}),
        ("nomic", {"n_positions": 160, "max_position_embeddings": 40, "rotary_emb_base": 50}),
        (
            "nomic-published",
            {
                "max_position_embeddings": 40,
                "hidden_size": 32,
                "rope_parameters": {"rope_theta": 50.0, "rope_type": "default"},
            },
        ),
        ("gte-native", {"pack_qkv": True}),
    ],
    ids=str,
)
def test_older_and_other_names_of_settings_mean_the_same(
    changed: Callable, home: Path, name: str, changes: dict
) -> None:
    folder = changed(name, **changes)
    texts = json.loads((folder / "texts.json").read_text())

    vectors = LocalEmbedder(folder, home=home, pooling="mean").embed(texts)

    expected = np.load(folder / "expected.npz")["mean"]
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes", "error", "words"),
    [
        ("roberta", {"hidden_act": "mish"}, ModelUnsupported, "mish"),
        ("roberta", {"is_decoder": True}, ModelUnsupported, "decoder"),
        ("distilbert", {"activation": "mish"}, ModelUnsupported, "mish"),
        ("distilbert", {"n_heads": 5}, ModelCorrupt, "5 heads"),
        ("mpnet", {"relative_attention_num_buckets": 64}, ModelUnsupported, "buckets"),
        ("modernbert", {"layer_types": ["full_attention"] * 3}, ModelCorrupt, "3 layer_types"),
        # More would be as wrong, and fill all memory where nothing bounds them.
        (
            "modernbert",
            {"layer_types": None, "num_hidden_layers": 2**22},
            ModelUnsupported,
            f"{2**22} layers",
        ),
        (
            "qwen3",
            {"head_dim": 2**16, "max_position_embeddings": 2**11},
            ModelUnsupported,
            "heads of 65536",
        ),
        ("roberta", {"pad_token_id": 10**12}, ModelCorrupt, "positions"),
        ("modernbert", {"layer_types": ["chunked"] * 4}, ModelUnsupported, "chunked"),
        ("modernbert", {"rope_parameters": [1]}, ModelCorrupt, "rope_parameters"),
        ("modernbert", {"rope_scaling": {"type": "yarn"}}, ModelUnsupported, "rope_scaling"),
        ("nomic-published", {"moe_every_n_layers": 2}, ModelUnsupported, "moe_every_n_layers"),
        ("nomic-published", {"rotary_emb_interleaved": True}, ModelUnsupported, "interleaved"),
        ("nomic-published", {"rotary_emb_fraction": 0.5}, ModelUnsupported, "fraction"),
        ("nomic-published", {"rotary_scaling_factor": 2}, ModelUnsupported, "scaling_factor"),
        ("nomic-published", {"activation_function": "gelu"}, ModelUnsupported, "gate"),
        ("nomic-published", {"prenorm": True}, ModelUnsupported, "prenorm"),
        ("nomic-published", {"qkv_proj_bias": True}, ModelCorrupt, "no tensor"),
        ("nomic-published", {"rope_parameters": {"rope_theta": 9}}, ModelUnsupported, "theta 9"),
        ("nomic", {"rotary_emb_fraction": 0.5}, ModelUnsupported, "fraction"),
        ("nomic", {"head_dim": 4}, ModelUnsupported, "heads"),
        ("nomic", {"rope_parameters": {"rope_type": "yarn"}}, ModelUnsupported, "rope"),
        ("qwen3", {"use_sliding_window": True}, ModelUnsupported, "sliding"),
        ("qwen3", {"use_bidirectional_attention": True}, ModelUnsupported, "not causal"),
        ("qwen3", {"is_causal": False}, ModelUnsupported, "not causal"),
        ("qwen3", {"rope_parameters": {"rope_type": "yarn"}}, ModelUnsupported, "rope"),
        ("qwen3", {"max_position_embeddings": 2**30}, ModelUnsupported, "positions"),
        ("qwen3", {"num_key_value_heads": 3}, ModelCorrupt, "3 keys"),
        ("qwen3", {"head_dim": 13}, ModelCorrupt, r"size 13|shape"),
        ("gte-published", {"rope_scaling": {"type": "linear"}}, ModelUnsupported, "linear"),
        ("gte-published", {"rope_scaling": {"type": "ntk"}}, ModelUnsupported, "factor"),
        (
            "gte-published",
            {"rope_scaling": {"type": "ntk", "factor": 2, "mixed_b": 0.6}},
            ModelUnsupported,
            "mixed_b",
        ),
        ("gte-published", {"layer_norm_type": "rms_norm"}, ModelUnsupported, "rms_norm"),
        ("gte-published", {"logn_attention_scale": True}, ModelUnsupported, "logn"),
        ("gte-published", {"type_vocab_size": 2}, ModelCorrupt, "token_type"),
    ],
    ids=str,
)
def test_a_variant_whose_graph_would_differ_is_refused(
    changed: Callable,
    home: Path,
    name: str,
    changes: dict,
    error: type[Exception],
    words: str,
) -> None:
    folder = changed(name, **changes)

    with pytest.raises(error, match=words):
        LocalEmbedder(folder, home=home, pooling="mean")


def test_a_prompt_is_put_before_the_text_of_a_decoder(changed: Callable, home: Path) -> None:
    """As Qwen3's settings have it: an instruction for queries, and pooling that includes it."""
    folder = changed("qwen3")
    prompts = {"prompts": {"query": "a b ", "document": ""}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))

    embedder = LocalEmbedder(folder, home=home, pooling="last")

    asked = embedder.embed(["c"], input_type="query")
    np.testing.assert_allclose(asked, embedder.embed(["a b c"]), rtol=0, atol=1e-6)
