"""`embedway similarity`, with the real local model and a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from doubles.engine_tei import TEI
from doubles.serving import served
from embedway_gateway.cli.app import application

# Of the guides.
TEXTS = ("That is a happy person", "That is a happy very person", "Today is a sunny day")


def shown(*arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(application(), ["similarity", *arguments], input=stdin)


def test_like_texts_are_near_and_others_are_not(model_in_store: str) -> None:
    result = shown(*TEXTS, "--json")

    assert result.exit_code == 0, result.output
    cosines = json.loads(result.stdout)["cosines"]
    assert cosines[0][0] == pytest.approx(1, abs=1e-5)
    assert cosines[0][1] > 0.9
    assert cosines[0][2] < 0.5
    assert cosines[0][1] == cosines[1][0]


def test_a_table_and_a_heat_map(model_in_store: str, tmp_path: Path) -> None:
    picture = tmp_path / "heatmap.png"

    result = shown(*TEXTS, "--model", model_in_store, "--out", str(picture))

    lines = result.stdout.splitlines()
    assert lines[0].split() == ["text", "1", "2", "3"]
    assert lines[1].split()[:6] == ["1", "That", "is", "a", "happy", "person"]
    assert "1.000" in lines[1]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_texts_of_a_file_through_a_server(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("".join(f"text $x_{number} 東京\n" for number in range(60)))
    picture = tmp_path / "heatmap.png"
    with served(TEI()) as url:
        options = ["--endpoint", f"tei+{url}", "--out", str(picture), "--limit", "50"]
        result = shown("--file", str(file), *options)

    assert result.exit_code == 0, result.output
    assert len(result.stdout.splitlines()) == 21
    assert "The first 50 texts" in result.stderr
    assert "The first 20 of 50 texts; --out draws all" in result.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["one"], 2, "give two texts or more"),
        (["a", "b", "--model", "m", "--endpoint", "local"], 2, "--model is a local one"),
        (["a", "b", "--endpoint", "nowhere"], 1, "'nowhere' is no endpoint"),
        (["--file", "missing.txt"], 1, "there is no such file"),
    ],
)
def test_a_refusal_names_the_cure(arguments: list[str], code: int, said: str) -> None:
    result = shown(*arguments)

    assert result.exit_code == code
    assert said in " ".join(result.stderr.replace("│", " ").split())
