"""A file that is no YAML: what is told of it, and that no value is."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedway_gateway.config.load import ConfigError, load_config

SECRET = "S3cretPass"


def problems(tmp_path: Path, token: str) -> list[str]:
    path = tmp_path / "embedway.yaml"
    path.write_text(f"credentials:\n  key:\n    type: bearer\n    token: {token}\n", "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    assert caught.value.__cause__ is None
    return caught.value.problems


@pytest.mark.parametrize(
    ("token", "says"),
    [
        (f"!{SECRET}", "could not determine a constructor for the tag"),
        (f"!{SECRET}'s", "could not determine a constructor for the tag"),
        (f"!{SECRET}!x", "found undefined tag handle"),
        (f"*{SECRET}", "found undefined alias"),
        (f"!!int {SECRET}", "it is taken for a date or a number, and is none"),
        (f"!!bool {SECRET}", "it is taken for a date or a number, and is none"),
        (f"!!timestamp {SECRET}", "it is taken for a date or a number, and is none"),
        (f"{{a: !{SECRET}}}", "expected a blank"),
        (f"%{SECRET}", "found character that cannot start any token"),
        (f"|{SECRET}", "expected chomping or indentation indicators"),
        (f'"\\{SECRET}"', "found unknown escape character"),
    ],
)
def test_a_secret_that_yaml_takes_for_its_own_is_not_shown(
    tmp_path: Path, token: str, says: str
) -> None:
    (problem,) = problems(tmp_path, token)

    assert problem.startswith("line 4, column ")
    assert f"not YAML: {says}; put the value in single quotes" in problem
    assert SECRET not in problem
    # Nor its first character.
    assert "'S'" not in problem


@pytest.mark.parametrize(
    ("token", "says"),
    [
        ("a: b", "line 4, column 13: not YAML: mapping values are not allowed here"),
        ("[", "line 5, column 1: not YAML: expected the node content, but found '<stream end>'"),
        ("|\n     a\n    b", "line 7, column 1: not YAML: could not find expected ':'"),
    ],
)
def test_what_is_amiss_is_still_told(tmp_path: Path, token: str, says: str) -> None:
    (problem,) = problems(tmp_path, token)

    assert says == problem


def revision(tmp_path: Path, value: str) -> list[str]:
    path = tmp_path / "embedway.yaml"
    path.write_text(
        f"models:\n- {{name: a, revision: {value}, upstreams: [{{name: x, engine: local}}]}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path, {})
    return caught.value.problems


def test_a_date_that_does_not_exist_is_told_with_its_place(tmp_path: Path) -> None:
    (problem,) = revision(tmp_path, "2024-02-30")

    assert problem == (
        "line 2, column 23: not YAML: it is taken for a date or a number, and is none; "
        "put the value in single quotes"
    )


@pytest.mark.parametrize("value", ["2024-02-29", "2024-02-29 12:00:00", "20240229", "1.0", "no"])
def test_a_text_that_yaml_takes_for_something_else_is_to_be_quoted(
    tmp_path: Path, value: str
) -> None:
    assert revision(tmp_path, value) == [
        "models[0].revision: YAML takes it for a date, a number, yes or no: put it in quotes"
    ]
