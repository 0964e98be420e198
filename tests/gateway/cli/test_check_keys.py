"""What `embedway check` says of the file of keys."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from doubles.configured import Configured
from doubles.engine_tei import TEI
from doubles.keyed import Keys
from embedway_gateway.cli.app import application

Row = dict[str, Any]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[Configured]:
    world = Configured(tmp_path)
    with world.open:
        yield world


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def invoke(world: Configured, *options: str) -> Result:
    file = world.plain(TEI(auto_truncate=True)) | {
        "server": {"keys": str(world.folder / "keys.yaml")}
    }
    path = world.folder / "embedway.yaml"
    path.write_text(yaml.safe_dump(file))
    return CliRunner().invoke(application(), ["check", "--config", str(path), *options])


def rows(world: Configured) -> tuple[Row, list[Row], int]:
    """Of the file, of its keys, and the exit code."""
    result = invoke(world, "--json")
    _, file, *others = json.loads(result.stdout)
    assert file["upstream"] == "server.keys"
    return file, others, result.exit_code


def rewritten(keys: Keys, change: Callable[[str], str]) -> None:
    keys.path.write_text(change(keys.path.read_text()))


def expire(keys: Keys, which: int) -> None:
    document = yaml.safe_load(keys.path.read_text())
    document["keys"][which]["expires"] = "2025-01-31T00:00:00+00:00"
    keys.path.write_text(yaml.safe_dump(document))


def test_a_good_file_is_well(world: Configured, keys: Keys) -> None:
    keys.make("app", "mod*", rpm=10, tpm=1000)

    file, others, code = rows(world)

    assert (file["problem"], file["notes"], others, code) == ("", [], [], 0)


def test_a_file_that_is_not_there_is_told_with_the_command(world: Configured) -> None:
    file, _, code = rows(world)

    assert "`embedway keys create --name NAME --file" in file["problem"]
    assert code == 1


def test_a_folder_is_no_file(world: Configured, keys: Keys) -> None:
    keys.path.mkdir()

    assert "it must be a file that the gateway's user may read" in rows(world)[0]["problem"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text + "  - {", "is not YAML in line"),
        (lambda text: text.replace("rpm: 10", "rpm: many"), "keys[0].rpm: "),
        (lambda text: text.replace("rpm: 10", "rmp: 10"), "keys[0].rmp: "),
    ],
)
def test_a_broken_file_is_told_with_its_place(
    world: Configured, keys: Keys, change: Callable[[str], str], words: str
) -> None:
    keys.make("app", rpm=10)
    rewritten(keys, change)

    file, _, code = rows(world)

    assert words in file["problem"]
    assert "no gateway starts with it" in file["problem"]
    assert "\n" not in file["problem"]
    assert code == 1


@pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")
def test_what_others_may_write_is_a_problem_and_what_they_read_a_note(
    world: Configured, keys: Keys
) -> None:
    keys.make("app")
    keys.path.chmod(0o644)
    file, _, code = rows(world)
    keys.path.chmod(0o660)

    assert ["chmod 600" in note for note in file["notes"]] == [True]
    assert (file["problem"], code) == ("", 0)
    assert "can be written by others than its owner" in rows(world)[0]["problem"]


def test_a_model_that_is_not_here_is_a_problem_of_the_key(world: Configured, keys: Keys) -> None:
    keys.make("app", "model", "bge-*")
    keys.make("gone", "other")
    keys.revoke("gone")

    _, [one], code = rows(world)

    assert one["upstream"].startswith("server.keys: app (")
    assert "'bge-*', which no model here is called" in one["problem"]
    assert "Models here: 'model'" in one["problem"]
    assert code == 1


def test_a_file_without_a_valid_key_lets_nobody_in(world: Configured, keys: Keys) -> None:
    keys.make("app")
    keys.revoke("app")

    file, others, code = rows(world)

    assert "has no valid key, and every caller is refused" in file["problem"]
    assert (others, code) == ([], 1)


def test_an_expired_key_without_a_successor_is_a_note(world: Configured, keys: Keys) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    for name in ("late", "turned", "valid"):
        keys.make(name, expires=later)
    expire(keys, 0)
    expire(keys, 1)
    keys.make("turned")

    _, [one], code = rows(world)

    assert one["upstream"].startswith("server.keys: late (")
    assert "it expired on 2025-01-31, and late has no other" in one["notes"][0]
    assert "`embedway keys create --name late` makes a new one" in one["notes"][0]
    assert code == 0


def test_limits_that_contradict_are_notes(world: Configured, keys: Keys) -> None:
    keys.make("app", rpm=100, texts_per_minute=10)
    keys.make("tokens", rpm=100, tpm=99)
    keys.make("well", rpm=100, tpm=100)
    keys.make("turned", rpm=5)
    keys.rotate("turned", hours=1)
    rewritten(keys, lambda text: text.replace("rpm: 5\n", "rpm: 6\n", 1))

    _, found, code = rows(world)

    assert [one["upstream"].split()[1] for one in found] == ["app", "tokens", "turned", "turned"]
    notes = [note for one in found for note in one["notes"]]
    assert notes[0].startswith("`rpm: 100` is never reached, because `texts_per_minute: 10`")
    assert notes[1].startswith("`rpm: 100` is never reached, because `tpm: 99`")
    assert notes[2].startswith("the 2 valid keys of 'turned' have different limits")
    assert code == 0


def test_the_table_shows_them_and_no_digest(world: Configured, keys: Keys) -> None:
    keys.make("app", "other")
    digest = yaml.safe_load(keys.path.read_text())["keys"][0]["sha256"]

    result = invoke(world)

    assert "server.keys" in result.stdout
    assert "which no model here is called" in result.stdout
    assert digest not in result.output
