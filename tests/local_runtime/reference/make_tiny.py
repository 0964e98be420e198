"""
Makes small random BERT checkpoints and the vectors that transformers computes with them.

    python make_tiny.py

needs `torch`, `transformers` and `tokenizers`; writes a folder for each checkpoint beside this
file, with the expected vectors of TEXTS for each pooling in expected.npz.
"""

import json
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForMaskedLM, BertModel

HERE = Path(__file__).parent
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TEXTS = ["", "a", "b c", " ".join(LETTERS), "e m b e d", "q q q q q q q", " ".join(LETTERS * 3)]
POSITIONS = 40


def tokenizer() -> Tokenizer:
    words = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *LETTERS]
    made = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, "[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def make(name: str, kind: type, **changes: object) -> None:
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    torch.manual_seed(len(name))
    config = BertConfig(
        vocab_size=30,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        **changes,
    )
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # large enough that every part of the graph matters
            parameter.copy_(torch.randn_like(parameter) * 0.4)
    model.save_pretrained(folder)
    tokens = tokenizer()
    tokens.save(str(folder / "tokenizer.json"))
    tokens.enable_truncation(POSITIONS)
    encoder = getattr(model, "bert", model)
    expected: dict[str, list[np.ndarray]] = {"cls": [], "mean": [], "last": []}
    for text in TEXTS:
        ids = torch.tensor([tokens.encode(text).ids])
        with torch.no_grad():
            hidden = encoder(ids).last_hidden_state[0].double()
        for pooling, vector in {
            "cls": hidden[0],
            "mean": hidden.mean(0),
            "last": hidden[-1],
        }.items():
            expected[pooling].append(torch.nn.functional.normalize(vector, dim=0).numpy())
    arrays = {key: np.array(value, dtype=np.float32) for key, value in expected.items()}
    np.savez(folder / "expected.npz", **arrays)
    (folder / "texts.json").write_text(json.dumps(TEXTS) + "\n", "ascii")


if __name__ == "__main__":
    make("tiny-bert", BertModel)
    make("tiny-bert-with-head", BertForMaskedLM, hidden_act="gelu_new", layer_norm_eps=1e-3)
