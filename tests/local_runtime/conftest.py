"""What the local runtime's tests share: the real model, and small ones made of random numbers."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from embedway_local import LocalEmbedder, Store, embedway_home

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *LETTERS]
CONFIG = {
    "model_type": "bert",
    "hidden_size": 24,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "intermediate_size": 40,
    "max_position_embeddings": 20,
    "vocab_size": len(WORDS),
    "pad_token_id": 0,
}


@dataclass(frozen=True)
class Tiny:
    """A small random BERT: its folder, and its weights as float32, under today's names."""

    folder: Path
    config: dict[str, object]
    weights: dict[str, NDArray[np.float32]]


@pytest.fixture(scope="session")
def embedder(model_in_store: str) -> Iterator[LocalEmbedder]:
    """The default model."""
    with LocalEmbedder(model_in_store) as made:
        yield made


@pytest.fixture(scope="session")
def model_folder(model_in_store: str) -> Path:
    """The default model's files."""
    return Store(embedway_home()).folder(model_in_store)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty store."""
    return tmp_path / "home"


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Tiny]:
    """
    Makes a folder with a small random BERT.

    `prefix` stands before each tensor's name, `legacy` uses TensorFlow's names for the norms,
    `kind` is F32, F16 or BF16, `shards` the number of files; other keywords change config.json.
    """

    def make(
        name: str = "tiny",
        *,
        prefix: str = "",
        legacy: bool = False,
        kind: str = "F32",
        shards: int = 1,
        pooling: str | None = "mean",
        special: bool = True,
        **changes: object,
    ) -> Tiny:
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        config = {**CONFIG, **changes}
        (folder / "config.json").write_text(json.dumps(config))
        tokenizer(special=special).save(str(folder / "tokenizer.json"))
        if pooling is not None:
            (folder / "1_Pooling").mkdir(exist_ok=True)
            settings = {"pooling_mode": pooling}
            (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings))
        weights = {key: rounded(value, kind) for key, value in random_weights(config).items()}
        names = {key: prefix + (old_name(key) if legacy else key) for key in weights}
        stored = {names[key]: value for key, value in weights.items()}
        write_weights(folder, stored, kind, shards)
        return Tiny(folder, config, weights)

    return make


def tokenizer(*, special: bool) -> Tokenizer:
    made = Tokenizer(WordLevel({word: index for index, word in enumerate(WORDS)}, "[UNK]"))
    made.pre_tokenizer = Whitespace()
    if special:
        made.post_processor = TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    return made


def random_weights(config: dict[str, object]) -> dict[str, NDArray[np.float32]]:
    hidden, inner = int(str(config["hidden_size"])), int(str(config["intermediate_size"]))
    random = np.random.default_rng(len(json.dumps(config)))
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), hidden),
        "embeddings.position_embeddings.weight": (
            int(str(config["max_position_embeddings"])),
            hidden,
        ),
        "embeddings.token_type_embeddings.weight": (2, hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for index in range(int(str(config["num_hidden_layers"]))):
        layer = f"encoder.layer.{index}"
        for part, out, size in (
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ):
            shapes[f"{layer}.{part}.weight"] = (out, size)
            shapes[f"{layer}.{part}.bias"] = (out,)
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[f"{layer}.{part}.weight"] = shapes[f"{layer}.{part}.bias"] = (hidden,)
    return {
        name: random.normal(scale=0.4, size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def rounded(array: NDArray[np.float32], kind: str) -> NDArray[np.float32]:
    if kind == "F16":
        return array.astype(np.float16).astype(np.float32)
    if kind == "BF16":
        return (array.view(np.uint32) & 0xFFFF0000).view(np.float32)
    return array


def old_name(name: str) -> str:
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
        "LayerNorm.bias", "LayerNorm.beta"
    )


def write_weights(
    folder: Path, weights: dict[str, NDArray[np.float32]], kind: str, shards: int
) -> None:
    """Write safetensors files; spelled out, so that the reader is held against the format."""
    names = sorted(weights)
    places: dict[str, str] = {}
    for shard in range(shards):
        file = (
            f"model-{shard + 1:05}-of-{shards:05}.safetensors"
            if shards > 1
            else "model.safetensors"
        )
        header: dict[str, object] = {"__metadata__": {"format": "pt"}}
        body = b""
        for name in names[shard::shards]:
            data = packed(weights[name], kind)
            offsets = [len(body), len(body) + len(data)]
            header[name] = {"dtype": kind, "shape": weights[name].shape, "data_offsets": offsets}
            body += data
            places[name] = file
        head = json.dumps(header).encode()
        (folder / file).write_bytes(struct.pack("<Q", len(head)) + head + body)
    if shards > 1:
        index = {"metadata": {}, "weight_map": places}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def packed(array: NDArray[np.float32], kind: str) -> bytes:
    if kind == "F16":
        return array.astype("<f2").tobytes()
    if kind == "BF16":
        return (array.view(np.uint32) >> 16).astype("<u2").tobytes()
    return array.astype("<f4").tobytes()
