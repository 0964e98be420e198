import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedway_local import LocalEmbedder, ModelCorrupt, ModelUnsupported
from embedway_local.checkpoint import read_checkpoint
from embedway_local.tokenise import Tokeniser, Tokens

# Made by make_tokenizers.py there.
READ = json.loads((Path(__file__).parent / "reference" / "tokenizers.json").read_text())
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def tokeniser(tiny: Callable) -> Tokeniser:
    return Tokeniser(read_checkpoint(tiny().folder, max_tokens=5))


def lists(many: list[Tokens]) -> list[list[int]]:
    return [list(one) for one in many]


def test_texts_are_cut_at_the_maximum_and_counted(tokeniser: Tokeniser) -> None:
    ids, cut = tokeniser.encode(["", "a b c", "a b c d e f g h i j"])

    assert [[1, 2], [1, 4, 5, 6, 2], [1, 4, 5, 6, 2]] == lists(ids)
    assert 1 == cut


def test_a_prompt_stands_before_each_text(tokeniser: Tokeniser) -> None:
    ids, cut = tokeniser.encode(["a"], prompt="z ")

    assert ([[1, 29, 4, 2]], 0) == (lists(ids), cut)


def test_many_texts_are_those_of_each_alone_in_order(tokeniser: Tokeniser) -> None:
    """The library is given some of them at a time, by number and by size."""
    texts = [LETTERS[index % 26] for index in range(600)]
    texts[10] = texts[20] = "b " * 50_000

    ids, cut = tokeniser.encode(texts)

    assert [lists(tokeniser.encode([text])[0])[0] for text in texts] == lists(ids)
    assert 2 == cut


def test_many_pairs_are_those_of_each_alone_in_order(tokeniser: Tokeniser) -> None:
    documents = [LETTERS[index % 26] for index in range(600)]
    documents[10] = "b " * 50_000

    ids, types, cut = tokeniser.pairs("q", documents)

    alone = [tokeniser.pairs("q", [document]) for document in documents]
    assert [list(one[0]) for one, _, _ in alone] == lists(ids)
    assert [list(one[0]) for _, one, _ in alone] == lists(types)
    assert sum(one for _, _, one in alone) == cut > 0


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


def test_a_lone_surrogate_far_behind_is_named(tokeniser: Tokeniser) -> None:
    with pytest.raises(ValueError, match="text 907 has a lone surrogate"):
        tokeniser.encode(["fine"] * 900 + ["\udc80"], first=7)
    with pytest.raises(ValueError, match="document 907 has a lone surrogate"):
        tokeniser.pairs("q", ["fine"] * 900 + ["\udc80"], first=7)
    with pytest.raises(ValueError, match="query 0 has a lone surrogate"):
        tokeniser.pairs("\udc80", ["fine"])


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

    ids, cut = Tokeniser(read_checkpoint(folder)).encode(["a b c", ""])

    assert ([[1, 4, 5, 6, 2], [1, 2]], 0) == (lists(ids), cut)


def read_as(case: dict, folder: Path) -> Tokeniser:
    """The tokenizer of a folder whose two files say what the case says."""
    written = {**READ["tokenizer"], "truncation": case.get("truncation")}
    written["normalizer"] = {**written["normalizer"], **case["normalizer"]}
    (folder / "tokenizer.json").write_text(json.dumps(written))
    (folder / "tokenizer_config.json").write_text(json.dumps(case["config"]))
    return Tokeniser(read_checkpoint(folder, max_tokens=READ["longest"]))


@pytest.mark.parametrize("kind", sorted({case["model_type"] for case in READ["cases"]}))
def test_two_files_that_disagree_are_read_as_transformers_does(tiny: Callable, kind: str) -> None:
    """Case, accents, Chinese and the end that is cut; where its versions differ, it is refused."""
    folder = tiny(model_type=kind, pad_token_id=1).folder

    for case in READ["cases"]:
        if case["model_type"] != kind:
            continue
        if case["4"] == case["5"]:
            assert case["5"] == lists(read_as(case, folder).encode(READ["texts"])[0]), case
        else:
            with pytest.raises(ModelUnsupported, match="depends on the version of transformers"):
                read_as(case, folder)


def test_without_a_tokenizer_config_the_tokenizer_is_taken_as_it_is(tiny: Callable) -> None:
    folder = tiny().folder
    case = {"normalizer": {"lowercase": False}, "config": {}}
    assert [[1, 5, 6, 2]] == lists(read_as(case, folder).encode(["Two two"])[0])


@pytest.mark.parametrize(
    "config",
    [{"do_lower_case": "yes"}, {"truncation_side": "middle"}, {"strip_accents": 3}],
    ids=str,
)
def test_a_flag_that_is_none_is_corrupt(tiny: Callable, config: dict) -> None:
    with pytest.raises(ModelCorrupt, match=next(iter(config))):
        read_as({"normalizer": {}, "config": config}, tiny().folder)


def test_what_is_read_otherwise_counts_in_the_space(tiny: Callable, home: Path) -> None:
    """The same tokenizer.json gives other tokens."""
    folder = tiny().folder
    found = []
    for config in ({}, {"do_lower_case": False}, {"truncation_side": "left"}, {"pad_token": "x"}):
        read_as({"normalizer": {}, "config": config}, folder)
        found.append(LocalEmbedder(folder, home=home).space.fingerprint)

    assert 3 == len(set(found))
    assert found[0] == found[3]


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"model": {"type": "no"}}', "\x00"])
def test_a_damaged_tokenizer_is_corrupt(tiny: Callable, text: str) -> None:
    folder = tiny().folder
    Path(folder / "tokenizer.json").write_text(text)

    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json"):
        Tokeniser(read_checkpoint(folder))
