"""What a limit may be, wherever one is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from doubles.keyed import Keys
from embedway_gateway.access.file import KeysError
from embedway_gateway.cli.app import application
from embedway_gateway.config.load import ConfigError, load_config

MOST = 1_000_000_000
SAID = "must be a whole number from 1 to 1000000000, or be left out"
LIMITS = ("rpm", "tpm", "texts_per_minute", "max_concurrency")
# As YAML has them.
WRONG = ["0", "-1", "1000000001", "1.0e+30", ".nan", ".inf", "-.inf", "1.5", "yes", "many", "[1]"]
# Of a limit of a model, an upstream, the server or the cache, and where it stands.
PLACES = [
    ("models[0].limits.rpm", "LIMITS: {rpm: VALUE}"),
    ("models[0].upstreams[0].max_concurrency", "UPSTREAM: {max_concurrency: VALUE}"),
    ("models[0].upstreams[0].max_inputs", "UPSTREAM: {max_inputs: VALUE}"),
    ("server.max_connections", "SERVER: {max_connections: VALUE}"),
    ("cache.connections", "CACHE: {connections: VALUE}"),
]


def configured(folder: Path, stated: str, value: str) -> Path:
    [(part, more)] = yaml.safe_load(stated.replace("VALUE", value)).items()
    upstream: dict[str, Any] = {"name": "up", "engine": "tei", "url": "http://127.0.0.1:1"}
    model: dict[str, Any] = {"name": "m", "dimensions": 8, "upstreams": [upstream]}
    file: dict[str, Any] = {"models": [model]}
    if part == "UPSTREAM":
        upstream.update(more)
    elif part == "LIMITS":
        model["limits"] = more
    elif part == "SERVER":
        file["server"] = more
    else:
        file["cache"] = {"type": "redis", "url": "redis://x", **more}
    path = folder / "embedway.yaml"
    path.write_text(yaml.safe_dump(file))
    return path


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(("place", "stated"), PLACES, ids=[place for place, _ in PLACES])
def test_what_is_no_limit_is_refused_with_its_place(
    tmp_path: Path, place: str, stated: str, value: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(configured(tmp_path, stated, value))

    assert caught.value.problems == [f"{place}: {SAID}"]


@pytest.mark.parametrize("value", ["1", str(MOST), "'${MANY}'"])
@pytest.mark.parametrize(("place", "stated"), PLACES, ids=[place for place, _ in PLACES])
def test_what_is_one_is_taken(tmp_path: Path, place: str, stated: str, value: str) -> None:
    assert load_config(configured(tmp_path, stated, value), {"MANY": "7"}), place


@pytest.mark.parametrize("limit", LIMITS)
def test_a_key_has_no_other_limits(tmp_path: Path, limit: str) -> None:
    keys = Keys(tmp_path)
    keys.make("app", **{limit: MOST})
    good = keys.path.read_text()
    for value in WRONG:
        keys.path.write_text(good.replace(str(MOST), value))
        with pytest.raises(KeysError) as caught:
            keys.file.read()
        assert str(caught.value).splitlines()[1:] == [f"  keys[0].{limit}: {SAID}"]


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize("value", ["0", "-1", str(MOST + 1), "nan"])
def test_the_command_line_makes_no_other_keys(tmp_path: Path, limit: str, value: str) -> None:
    file = tmp_path / "keys.yaml"
    option = f"--{limit.replace('_', '-')}"
    command = ["keys", "create", "--name", "app", "--file", str(file), option, value]

    assert CliRunner().invoke(application(), command).exit_code == 2
    assert not file.exists()
