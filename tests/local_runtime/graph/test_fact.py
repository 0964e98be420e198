"""What of config.json is in a model's fingerprint: all that decides its vectors, and no more."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from embedway_local import LocalEmbedder

REFERENCE = Path(__file__).parent.parent / "reference" / "architectures"


@pytest.fixture
def opened(tmp_path: Path, home: Path) -> Callable[..., LocalEmbedder]:
    """Opens a copy of a reference checkpoint with other settings; None takes a setting away."""

    def make(name: str, **changes: object) -> LocalEmbedder:
        folder = tmp_path / f"{name}-{len(list(tmp_path.iterdir()))}"
        shutil.copytree(REFERENCE / name, folder)
        config = {**json.loads((folder / "config.json").read_text()), **changes}
        stated = {key: value for key, value in config.items() if value is not None}
        (folder / "config.json").write_text(json.dumps(stated))
        return LocalEmbedder(folder, home=home, device="cpu", pooling="mean", max_tokens=100)

    return make


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("roberta", {"layer_norm_eps": 1e-3}),
        ("roberta", {"num_attention_heads": 2}),
        ("roberta", {"num_hidden_layers": 1}),
        ("roberta", {"hidden_act": "gelu_new"}),
        ("roberta", {"pad_token_id": 2}),
        ("roberta", {"model_type": "bert"}),
        ("distilbert", {"n_heads": 2}),
        ("distilbert", {"n_layers": 1}),
        ("distilbert", {"activation": "relu"}),
        ("mpnet", {"layer_norm_eps": 1e-3}),
        ("mpnet", {"num_hidden_layers": 1}),
        ("modernbert", {"local_attention": 4}),
        ("modernbert", {"layer_types": ["full_attention"] * 4}),
        ("modernbert", {"norm_eps": 1e-3}),
        (
            "modernbert",
            {
                "rope_parameters": {
                    "full_attention": {"rope_theta": 200.0},
                    "sliding_attention": {"rope_theta": 21.0},
                }
            },
        ),
        ("nomic", {"rope_parameters": {"rope_theta": 60.0}}),
        ("nomic", {"hidden_act": "gelu"}),
        ("gte-published", {"rope_scaling": {"type": "ntk", "factor": 4.0}}),
        ("gte-published", {"rope_theta": 70.0}),
        ("qwen3", {"rope_parameters": {"rope_theta": 60.0}}),
        ("qwen3", {"rms_norm_eps": 1e-3}),
        ("qwen3", {"num_hidden_layers": 1}),
    ],
    ids=str,
)
def test_the_same_weights_with_a_setting_that_changes_vectors_are_another_space(
    opened: Callable, name: str, changes: dict
) -> None:
    texts = json.loads((REFERENCE / name / "texts.json").read_text())
    before, after = opened(name), opened(name, **changes)

    assert before.space.weights == after.space.weights
    assert np.abs(before.embed(texts) - after.embed(texts)).max() > 1e-6
    assert before.space.fingerprint != after.space.fingerprint


# What transformers writes into every file, under the names of several versions.
_NOTES: dict[str, object] = {
    "transformers_version": "99.0",
    "torch_dtype": "float16",
    "dtype": "float16",
    "_name_or_path": "somewhere/else",
    "initializer_range": 0.5,
    "attention_dropout": 0.5,
    "hidden_dropout_prob": 0.5,
    "use_cache": None,
    "vocab_size": 31,
    "a_key_of_tomorrow": [1],
}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        *((folder.name, _NOTES) for folder in sorted(REFERENCE.iterdir())),
        ("roberta", {"model_type": "camembert"}),
        ("roberta", {"pad_token_id": None}),
        ("qwen3", {"hidden_act": "swish"}),
        ("qwen3", {"max_position_embeddings": 200}),
        ("modernbert", {"max_position_embeddings": 200}),
        ("gte-native", {"pack_qkv": True}),
    ],
    ids=str,
)
def test_a_setting_that_changes_no_vector_leaves_the_space(
    opened: Callable, name: str, changes: dict
) -> None:
    assert opened(name).space == opened(name, **changes).space


# Fingerprints that users have


@pytest.mark.parametrize(
    "settings",
    [
        {"layer_norm_eps": 1e-12},
        {
            "layer_norm_eps": 1e-5,
            "model_type": "xlm-roberta",
            "max_position_embeddings": 514,
            "pad_token_id": 1,
        },
    ],
    ids=["bert", "xlm-roberta"],
)
def test_a_model_as_bert_and_roberta_are_published_says_nothing_but_its_weights(
    tiny: Callable, home: Path, settings: dict
) -> None:
    """As before config.json counted; with any other config.json the same weights say more."""
    made = tiny(num_attention_heads=12, num_hidden_layers=2, **settings)
    (made.folder / "sentence_bert_config.json").write_text('{"max_seq_length": 12}')

    assert LocalEmbedder(made.folder, home=home).space.encoder == ""
    for change in (
        {"num_hidden_layers": 1},
        {"num_attention_heads": 8},
        {"layer_norm_eps": 1e-7},
        {"hidden_act": "gelu_new"},
        {"model_type": "bert" if "model_type" in settings else "roberta", "pad_token_id": 1},
    ):
        (made.folder / "config.json").write_text(json.dumps({**made.config, **change}))
        with LocalEmbedder(made.folder, home=home) as other:
            assert other.space.encoder != ""


PINNED = {
    "distilbert": "vs1-1d6547e2f15cc42b",
    "gte-native": "vs1-9060c558e6816bae",
    "gte-published": "vs1-a220bd0009dc2f17",
    "modernbert": "vs1-af46465ba8ca30b2",
    "mpnet": "vs1-7bf82a66df82a970",
    "nomic": "vs1-df0c789011439c3e",
    "nomic-published": "vs1-92ce42e7e55bdb7c",
    "qwen3": "vs1-66841bc80ebb7a01",
    "roberta": "vs1-e7bdb34334b7f746",
}


def test_the_fingerprints_of_other_architectures_stay_too(opened: Callable) -> None:
    """They are made of the names and values of an encoder's fields, which may not just change."""
    found = {name: opened(name).space.fingerprint for name in PINNED}

    assert found == PINNED
