from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from doubles.configured import Configured
from doubles.engine_ovms import OVMS
from doubles.engine_tei import TEI
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port
from embedway_gateway.cli.app import application


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Configured]:
    world = Configured(tmp_path)
    with world.open:
        yield world


def checked(world: Configured, file: dict[str, Any], *options: str) -> Result:
    path = world.folder / "embedway.yaml"
    path.write_text(yaml.safe_dump(file))
    return CliRunner().invoke(application(), ["check", "--config", str(path), *options])


def rows_of(result: Result) -> list[list[str]]:
    """The words of the head and of each row."""
    lines = [line.split() for line in result.stdout.splitlines()]
    return [line for line in lines if line and line[0] == "model"]


def three(world: Configured) -> dict[str, Any]:
    """One that is well, one with a note, and one that is gone."""
    file = world.plain(TEI(auto_truncate=True), model={"max_tokens": 512})
    upstreams = file["models"][0]["upstreams"]
    short = world.serve(TEI(max_input_length=256))
    upstreams.append({"name": "short", "engine": "tei", "url": short})
    gone = f"http://127.0.0.1:{free_port()}"
    upstreams.append({"name": "gone", "engine": "tei", "url": gone})
    return file


def test_the_table_has_a_row_an_upstream_and_below_it_what_to_do(world: Configured) -> None:
    result = checked(world, three(world))
    rows = rows_of(result)

    assert " ".join(rows[0]) == "model upstream engine size limits ms a text cosine verdict"
    assert " ".join(rows[1]).startswith("model up tei 1.9.3 8 32 texts · 512 tokens, cut ")
    assert [row[-1] for row in rows[1:]] == ["ok", "problem", "problem"]
    assert "gone of model: the upstream cannot be reached: nothing listens there" in result.stdout
    assert "up of model" not in result.stdout
    assert result.exit_code == 1


def test_a_note_is_not_a_failure(world: Configured) -> None:
    result = checked(world, world.plain(TEI(auto_truncate=False)))

    assert rows_of(result)[1][-1] == "note"
    assert "up of model: texts of more than 512 tokens are refused" in result.stdout
    assert result.exit_code == 0


@pytest.mark.parametrize("width", [100, 160])
def test_a_terminal_shows_every_word_within_its_width(
    world: Configured, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    file = three(world)
    file["models"][0]["name"] = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")

    shown = checked(world, file).stdout
    table, _, below = shown.partition("gone of")

    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    assert table.count("  problem") == 2
    assert "check host and port in `url:`" in " ".join(below.split())


def test_json_has_everything(world: Configured) -> None:
    result = checked(world, three(world), "--json")
    fine, _, gone = json.loads(result.stdout)

    assert (fine["upstream"], fine["version"], fine["max_inputs"]) == ("up", "1.9.3", 32)
    assert (fine["reachable"], fine["truncates"], fine["dimensions"]) == (True, True, 8)
    assert (gone["reachable"], gone["cosine"]) == (False, None)
    assert "nothing listens there" in gone["problem"]
    assert result.exit_code == 1


def test_the_timeout_bounds_a_call(world: Configured) -> None:
    file = world.plain(OpenAIUpstream(delay=20), engine="openai")
    result = checked(world, file, "--timeout", "0.3")

    assert "Nothing came for 0.3 s" in result.stdout
    assert "raise --timeout" in result.stdout


def test_a_shorter_timeout_of_the_upstream_holds(world: Configured) -> None:
    file = world.plain(OpenAIUpstream(delay=20), engine="openai", timeout="0.2s")

    assert "Nothing came for 0.2 s" in checked(world, file).stdout


def test_progress_is_for_terminals_and_beside_the_result(
    world: Configured, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = world.plain(OVMS(), engine="ovms")
    quiet = checked(world, file)
    monkeypatch.setenv("FORCE_COLOR", "1")
    watched = checked(world, file)

    assert quiet.stderr == ""
    assert "asking the upstreams: 1 of 1" in watched.stderr
    assert "asking" not in watched.stdout


def test_a_mistake_in_the_file_comes_first(world: Configured) -> None:
    result = checked(world, world.file(url="http://example.com", engine="tee"))

    assert result.exit_code == 1
    assert "models[0].upstreams[0].engine" in result.stderr
    assert result.stdout == ""
