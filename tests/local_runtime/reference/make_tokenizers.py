"""
Writes how transformers reads a tokenizer of BERT's kind whose two files say different things.

    python make_tokenizers.py

needs `transformers` and `tokenizers`, once with transformers 4.57 and once with 5.24: what they
make of TEXTS is written to tokenizers.json under the version's first number, beside the tokenizer.
"""

import json
import tempfile
from pathlib import Path

import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

PLACE = Path(__file__).parent / "tokenizers.json"
SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
# MPNet's are others, unless they are named.
NAMES = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"}
WORDS = ["Two", "two", "Café", "café", "Cafe", "cafe", "中", "文", "中文", *"abcdefghij"]
TEXTS = ["Two two", "Café Cafe", "中文 a", "a b c d e f g h"]
LONGEST = 6
KINDS = {
    "bert": ["BertTokenizer", "PreTrainedTokenizerFast", None],
    "nomic_bert": ["BertTokenizer"],
    "distilbert": ["DistilBertTokenizerFast", None],
    "mpnet": ["MPNetTokenizer", None],
    "new": ["BertTokenizer"],
    "modernbert": ["PreTrainedTokenizerFast", "BertTokenizer"],
    "electra": ["ElectraTokenizer"],
}
PLAIN = {"clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}
STATED = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
# What tokenizer.json's normaliser says, and what tokenizer_config.json does.
FLAGS = [
    ({}, STATED),
    ({}, {**STATED, "do_lower_case": False}),
    ({"lowercase": False}, STATED),
    ({"lowercase": False}, {**STATED, "do_lower_case": False}),
    ({}, {**STATED, "strip_accents": False}),
    ({"strip_accents": False}, STATED),
    ({"strip_accents": True}, STATED),
    ({}, {**STATED, "tokenize_chinese_chars": False}),
    ({"handle_chinese_chars": False}, STATED),
    ({}, {}),
    ({"lowercase": False}, {}),
    ({"strip_accents": False}, {}),
    ({"handle_chinese_chars": False}, {}),
    ({}, {**STATED, "truncation_side": "left"}),
]
TRUNCATION = {"direction": "Left", "max_length": 5, "strategy": "LongestFirst", "stride": 0}


def tokenizer() -> Tokenizer:
    words = {word: number for number, word in enumerate(SPECIAL + WORDS)}
    made = Tokenizer(WordPiece(words, unk_token="[UNK]"))
    made.normalizer = BertNormalizer(**PLAIN)
    made.pre_tokenizer = BertPreTokenizer()
    made.add_special_tokens(SPECIAL)
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return made


def cases() -> list[dict]:
    found = []
    for kind, classes in KINDS.items():
        for name in classes:
            named = NAMES if name is None else {**NAMES, "tokenizer_class": name}
            found += [
                {"model_type": kind, "normalizer": changed, "config": {**named, **stated}}
                for changed, stated in FLAGS
            ]
    for stated in (STATED, {**STATED, "truncation_side": "right"}):
        config = {**NAMES, "tokenizer_class": "BertTokenizer", **stated}
        case = {"model_type": "bert", "normalizer": {}, "config": config}
        found.append({**case, "truncation": TRUNCATION})
    return found


def ids(case: dict, base: dict) -> list[list[int]]:
    values = {**base, "truncation": case.get("truncation")}
    values["normalizer"] = {**base["normalizer"], **case["normalizer"]}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "tokenizer.json").write_text(json.dumps(values))
        (folder / "tokenizer_config.json").write_text(json.dumps(case["config"]))
        (folder / "config.json").write_text(json.dumps({"model_type": case["model_type"]}))
        made = transformers.AutoTokenizer.from_pretrained(folder)
        return [made(text, truncation=True, max_length=LONGEST)["input_ids"] for text in TEXTS]


def main() -> None:
    base = json.loads(tokenizer().to_str())
    old = json.loads(PLACE.read_text())["cases"] if PLACE.is_file() else cases()
    version = transformers.__version__.partition(".")[0]
    for case in old:
        case[version] = ids(case, base)
    kept = {"tokenizer": base, "texts": TEXTS, "longest": LONGEST, "cases": old}
    lines = ",\n".join(json.dumps(case) for case in old)
    head = json.dumps({**kept, "cases": None}).removesuffix("null}")
    PLACE.write_text(f"{head}[\n{lines}\n]}}\n", "ascii")


if __name__ == "__main__":
    main()
