import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedway_local import ModelCorrupt
from embedway_local.checkpoint import read_checkpoint
from embedway_local.tokenise import Tokeniser


@pytest.fixture
def tokeniser(tiny: Callable) -> Tokeniser:
    return Tokeniser(read_checkpoint(tiny().folder, max_tokens=5))


def test_texts_are_cut_at_the_maximum_and_counted(tokeniser: Tokeniser) -> None:
    assert ([[1, 2], [1, 4, 5, 6, 2], [1, 4, 5, 6, 2]], 1) == tokeniser.encode(
        ["", "a b c", "a b c d e f g h i j"]
    )


def test_a_prompt_stands_before_each_text(tokeniser: Tokeniser) -> None:
    assert ([[1, 29, 4, 2]], 0) == tokeniser.encode(["a"], prompt="z ")


@pytest.mark.parametrize("wrong", [3, None, b"bytes", ("a", "pair"), ["a", "list"], 1.5])
def test_anything_but_a_string_is_named(tokeniser: Tokeniser, wrong: object) -> None:
    """A pair above all: the library would take it for two sentences."""
    kind = type(wrong).__name__
    with pytest.raises(TypeError, match=f"text 8 is of type {kind}, not a string"):
        tokeniser.encode(["a", wrong], first=7, prompt="p ")


@pytest.mark.parametrize("prompt", ["", "p "])
def test_a_lone_surrogate_is_named_and_the_cure_too(tokeniser: Tokeniser, prompt: str) -> None:
    with pytest.raises(ValueError, match=r"text 1 .* at character 2.*errors='replace'"):
        tokeniser.encode(["fine", "ab\udc80"], prompt=prompt)


def test_what_the_tokenizers_file_says_of_padding_and_length_is_put_aside(tiny: Callable) -> None:
    folder = tiny().folder
    values = json.loads((folder / "tokenizer.json").read_text())
    values["truncation"] = {
        "direction": "Right",
        "max_length": 3,
        "strategy": "LongestFirst",
        "stride": 0,
    }
    values["padding"] = {
        "strategy": {"Fixed": 12},
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": 0,
        "pad_type_id": 0,
        "pad_token": "[PAD]",
    }
    (folder / "tokenizer.json").write_text(json.dumps(values))

    assert ([[1, 4, 5, 6, 2], [1, 2]], 0) == Tokeniser(read_checkpoint(folder)).encode(
        ["a b c", ""]
    )


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"model": {"type": "no"}}', "\x00"])
def test_a_damaged_tokenizer_is_corrupt(tiny: Callable, text: str) -> None:
    folder = tiny().folder
    Path(folder / "tokenizer.json").write_text(text)

    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json"):
        Tokeniser(read_checkpoint(folder))
