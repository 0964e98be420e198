"""A BERT of random numbers in the hub's layout: made in a moment, and deployed as quickly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace
from tokenizers.processors import TemplateProcessing

_WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "the", "word", "car", "Two", "short", "words", "."]
_HIDDEN, _INNER, _LAYERS, _POSITIONS = 24, 40, 2, 20
_CONFIG = {
    "model_type": "bert",
    "hidden_size": _HIDDEN,
    "num_attention_heads": 3,
    "num_hidden_layers": _LAYERS,
    "intermediate_size": _INNER,
    "max_position_embeddings": _POSITIONS,
    "vocab_size": len(_WORDS),
    "pad_token_id": 0,
    "layer_norm_eps": 1e-12,
}


def write_tiny_bert(
    folder: Path,
    *,
    seed: int = 7,
    pooling: str = "mean",
    pieces: bool = False,
    positions: int = _POSITIONS,
    more: str = "",
) -> Path:
    """
    The folder, filled; another seed is another model of the same shape. `pieces`: with BERT's kind
    of tokenizer. `positions`: of the longest text. `more`: words that it
    knows besides.
    """
    (folder / "1_Pooling").mkdir(parents=True)
    vocabulary = [*_WORDS, *more.split()]
    config = {**_CONFIG, "max_position_embeddings": positions, "vocab_size": len(vocabulary)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": pooling}))
    words = {word: i for i, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordLevel(words, "[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    if pieces:
        tokenizer = Tokenizer(WordPiece(words, unk_token="[UNK]"))
        tokenizer.normalizer = BertNormalizer(lowercase=False)
        tokenizer.pre_tokenizer = BertPreTokenizer()
        tokenizer.add_special_tokens(_WORDS[:4])
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    random = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(vocabulary), _HIDDEN),
        "embeddings.position_embeddings.weight": (positions, _HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, _HIDDEN),
        "embeddings.LayerNorm.weight": (_HIDDEN,),
        "embeddings.LayerNorm.bias": (_HIDDEN,),
    }
    for layer in (f"encoder.layer.{index}" for index in range(_LAYERS)):
        for part, out, size in (
            ("attention.self.query", _HIDDEN, _HIDDEN),
            ("attention.self.key", _HIDDEN, _HIDDEN),
            ("attention.self.value", _HIDDEN, _HIDDEN),
            ("attention.output.dense", _HIDDEN, _HIDDEN),
            ("intermediate.dense", _INNER, _HIDDEN),
            ("output.dense", _HIDDEN, _INNER),
        ):
            shapes |= {f"{layer}.{part}.weight": (out, size), f"{layer}.{part}.bias": (out,)}
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{part}.{kind}": (_HIDDEN,) for kind in ("weight", "bias")}
    weights: dict[str, Any] = {
        name: random.normal(scale=0.4, size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }
    numbers = np.arange(positions, dtype=np.int64)[None]
    save_file({**weights, "embeddings.position_ids": numbers}, folder / "model.safetensors")
    return folder
