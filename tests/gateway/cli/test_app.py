from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from embedway_gateway import __version__, cli
from embedway_gateway.bulk.error import BulkError
from embedway_gateway.cli.app import application
from embedway_gateway.config.load import ConfigError
from embedway_local import LocalError
from embedway_upstream import EmbeddingError


@pytest.fixture
def failing() -> tuple[typer.Typer, list[BaseException]]:
    """The application with a command `fail` that raises what is in the list."""
    app = application()
    errors: list[BaseException] = []

    def fail() -> None:
        raise errors[0]

    app.command()(fail)
    return app, errors


@pytest.mark.parametrize(
    "command",
    [["serve"], ["embed"], ["check"], ["models", "list"], ["models", "pull"], ["models", "verify"]],
)
def test_help_describes_each_command_and_gives_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(application(), [*command, "--help"], prog_name="embedway")
    text = " ".join(re.sub(r"[│╭╰─╮╯]", " ", result.output).split())

    assert result.exit_code == 0
    assert f"embedway {' '.join(command)}" in text.split("xample", 1)[1]
    assert len(text.split("Usage:")[1].split("xample")[0].split()) > 10


def test_help_lists_the_commands() -> None:
    result = CliRunner().invoke(application(), ["--help"])

    assert result.exit_code == 0
    for command in ("serve", "embed", "check", "models"):
        assert re.search(rf"│ {command} +\w", result.output), command


# Not pydantic: typer itself uses it where it is installed.
HEAVY = {"aiohttp", "fastapi", "httpx", "huggingface_hub", "msgspec", "numpy", "onnxruntime"}
HEAVY |= {"pyarrow", "tokenizers", "yaml"}


def test_help_imports_nothing_heavy() -> None:
    """What makes a start slow: numpy alone takes as long as all of `embedway --help`."""
    code = (
        "import sys\n"
        "from embedway_gateway.cli.app import application\n"
        "try: application()(['embed', '--help'])\n"
        "except SystemExit: pass\n"
        f"print(sorted({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "[]\n"


def test_version() -> None:
    result = CliRunner().invoke(application(), ["--version"])

    assert (result.exit_code, result.output) == (0, f"embedway {__version__}\n")


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_typer_a_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setattr(
        cli.importlib.util, "find_spec", lambda name: None if name == missing else 1
    )

    with pytest.raises(SystemExit) as caught:
        cli.main()

    assert 'pip install "embedway[local]"' in str(caught.value.code)
    assert 'pip install "embedway[gateway]"' in str(caught.value.code)


MESSAGE = 'it broke; pip install "embedway[local]" helps'


@pytest.mark.parametrize(
    "error",
    [
        BulkError(MESSAGE),
        ConfigError(Path("a.yaml"), [MESSAGE]),
        EmbeddingError(MESSAGE),
        LocalError(MESSAGE),
    ],
)
def test_an_error_of_ours_is_one_message(
    failing: tuple[typer.Typer, list[BaseException]], error: Exception
) -> None:
    app, errors = failing
    error.add_note("And a note.")
    errors.append(error)

    result = CliRunner().invoke(app, ["fail"])

    assert result.exit_code == 1
    assert MESSAGE in result.stderr
    assert result.stderr == f"{error}\nAnd a note.\n"
    assert result.stdout == ""


def test_any_other_error_is_a_bug_and_keeps_its_trace(
    failing: tuple[typer.Typer, list[BaseException]],
) -> None:
    app, errors = failing
    errors.append(ZeroDivisionError("a bug"))

    result = CliRunner().invoke(app, ["fail"])

    assert result.exception is errors[0]


@pytest.mark.parametrize(
    ("name", "extra"),
    [
        ("onnxruntime", "local"),
        ("tokenizers.models", "local"),
        ("fastapi", "gateway"),
        ("pyarrow", "parquet"),
    ],
)
def test_a_missing_library_is_named_with_its_extra(
    failing: tuple[typer.Typer, list[BaseException]], name: str, extra: str
) -> None:
    app, errors = failing
    errors.append(ModuleNotFoundError(f"No module named {name!r}", name=name))

    result = CliRunner().invoke(app, ["fail"])

    assert result.exit_code == 1
    assert f'pip install "embedway[{extra}]"' in result.stderr


def test_a_missing_module_of_ours_is_a_bug(
    failing: tuple[typer.Typer, list[BaseException]],
) -> None:
    app, errors = failing
    errors.append(ModuleNotFoundError("No module named 'embedway_x'", name="embedway_x"))

    assert CliRunner().invoke(app, ["fail"]).exception is errors[0]


def test_an_interruption_exits_with_130(failing: tuple[typer.Typer, list[BaseException]]) -> None:
    app, errors = failing
    errors.append(KeyboardInterrupt())

    result = CliRunner().invoke(app, ["fail"])

    assert (result.exit_code, result.stderr) == (130, "Interrupted.\n")


@pytest.mark.parametrize("arguments", [["nonsense"], ["embed", "--nonsense"], ["embed", "a.txt"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert CliRunner().invoke(application(), arguments).exit_code == 2
