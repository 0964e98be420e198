"""`embedway keys` and `embedway usage`, as an operator types them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from doubles.keyed import Keys
from embedway_gateway.access.keyring import Keyring, Refused
from embedway_gateway.cli.app import application
from embedway_gateway.usage.row import Row
from embedway_gateway.usage.sqlite import SQLiteBook

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(application(), arguments)

    return invoke


def ring(folder: Path) -> Keyring:
    return Keyring(Keys(folder).file.read())


def test_a_key_is_shown_once_on_standard_output_alone(run: Run, tmp_path: Path) -> None:
    done = run(
        *("keys", "create", "--name", "app", "--models", "bge-*", "--models", "m"),
        *("--rpm", "60", "--tpm", "1000", "--texts-per-minute", "500", "--max-concurrency", "2"),
        *("--expires", "90d"),
    )
    secret = done.stdout.strip()

    assert done.exit_code == 0, done.output
    assert re.fullmatch(r"ew-[0-9A-Za-z]{49}", secret)
    assert secret not in done.stderr
    caller = ring(tmp_path).find(secret.encode())
    assert [meter.limit for meter in caller.meters] == [60, 500, 1000]
    assert caller.pattern is not None
    assert caller.pattern.match("bge-m3")
    listed = run("keys", "list")
    assert "app" in listed.stdout
    assert "60 requests/min" in listed.stdout
    assert secret not in listed.output
    (facts,) = json.loads(run("keys", "list", "--json").stdout)
    assert facts["state"] == "valid"
    assert "sha256" not in facts


def test_a_key_is_rotated_and_revoked(run: Run, tmp_path: Path) -> None:
    old = run("keys", "create", "--name", "app").stdout.strip()
    new = run("keys", "rotate", "app", "--overlap", "0s").stdout.strip()
    assert ring(tmp_path).find(new.encode()).name == "app"
    with pytest.raises(Refused, match="expired"):
        ring(tmp_path).find(old.encode())

    assert "Revoked app" in run("keys", "revoke", "app").stderr
    with pytest.raises(Refused, match="revoked"):
        ring(tmp_path).find(new.encode())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "--name", "a b"), "letters, digits"),
        (("create", "--name", "a", "--expires", "soon"), "not understood"),
        (("create", "--name", "a", "--expires", "9999999d"), "not understood"),
        (("rotate", "a", "--overlap", "9999999d"), "not understood"),
        (("rotate", "a", "--expires", "2020-01-01"), "expired already"),
        (("create", "--name", "a", "--expires", "2020-01-01"), "expired already"),
        (("create", "--name", "a", "--rpm", "0"), "--rpm"),
        (("revoke", "nobody"), "no key with the id or name 'nobody'"),
        (("rotate", "nobody"), "no key"),
        (("list", "--file", "nowhere.yaml"), "makes a first key"),
    ],
)
def test_mistakes_are_told_in_a_sentence(run: Run, arguments: tuple[str, ...], words: str) -> None:
    run("keys", "create", "--name", "other")
    done = run("keys", *arguments)

    assert done.exit_code != 0
    assert words in re.sub(r"[\s│]+", " ", done.output)
    assert "Traceback" not in done.output


@pytest.fixture
def used(tmp_path: Path) -> Path:
    path = tmp_path / "usage.sqlite"
    rows = [
        Row("2027-01-01", "app", "m", 1000, 2, 3, 4, 5, 6),
        Row("2027-01-02", "app", "n", 1, 1, 1, 0, 0, 0),
        Row("2027-01-02", "oidc:=cmd", "n", 7, 0, 0, 0, 0, 0),
        Row("2027-01-02", "=cmd", "n", 7, 0, 0, 0, 0, 0),
    ]
    asyncio.run(SQLiteBook(path).add(rows, batch="x"))
    return path


def test_usage_is_a_table_a_csv_or_json(run: Run, used: Path) -> None:
    table = run("usage", "--by", "key", "--key", "app").stdout
    assert "1,001" in table
    assert "day" not in table
    whole = list(csv.DictReader(io.StringIO(run("usage", "--format", "csv").stdout)))
    assert whole[0] == {
        "key": "app",
        "model": "m",
        "day": "2027-01-01",
        "requests": "1000",
        "texts": "2",
        "tokens": "3",
        "errors": "4",
        "cached": "5",
        "limited": "6",
    }
    # No spreadsheet computes it.
    assert {row["key"] for row in whole} == {"app", "oidc:=cmd", "'=cmd"}
    facts = json.loads(run("usage", "--format", "json", "--since", "2027-01-02").stdout)
    assert len(facts) == 3
    assert json.loads(run("usage", "--until", "2026-01-01", "--format", "json").stdout) == []
    assert "Nothing was used" in run("usage", "--model", "no such").stderr


def test_usage_is_found_by_the_configuration(run: Run, used: Path, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.make("app")
    model = "models: [{name: m, upstreams: [{name: here, engine: local}]}]\n"
    config = tmp_path / "embedway.yaml"
    config.write_text(f"server: {{keys: '{keys.path}'}}\n{model}")
    assert "1,001" in run("usage", "--config", str(config), "--by", "key").stdout

    config.write_text(model)
    done = run("usage", "--config", str(config))
    assert done.exit_code == 1
    assert "keeps no usage" in done.output


def test_usage_that_is_nowhere_is_told(run: Run) -> None:
    done = run("usage")

    assert done.exit_code == 1
    assert "no such file" in done.output
