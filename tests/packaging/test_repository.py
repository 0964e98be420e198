"""The repository keeps its own rules."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for root in ("gateway", "integrations", "local_runtime")
    for path in (ROOT / root).rglob("*.py")
)
# Written so that it does not find itself.
_MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|root|Users|work|workspace)/[\w.]")


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_no_file_is_longer_than_300_lines() -> None:
    long = [name_of(path) for path in SOURCES if len(path.read_text("utf-8").splitlines()) > 300]

    assert long == []


def test_every_file_says_what_it_answers() -> None:
    texts = {path: ast.get_docstring(ast.parse(path.read_text("utf-8"))) for path in SOURCES}
    silent = [name_of(path) for path, text in texts.items() if len(text or "") <= 10]

    assert silent == []


def test_files_are_small_on_the_whole() -> None:
    lengths = sorted(len(path.read_text("utf-8").splitlines()) for path in SOURCES)

    assert lengths[len(lengths) // 2] <= 120


def test_functions_fit_on_a_screen() -> None:
    """40 lines, signature and docstring not counted."""
    long = [
        f"{name_of(path)}: {node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _length(node) > 40
    ]

    assert long == []


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def tracked() -> list[Path]:
    """What git has or would have; nothing outside a checkout."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    names = done.stdout.decode().split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = []
    for path in tracked():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{name_of(path)}: {match[0]}" for match in _MACHINE_PATH.finditer(text)]

    assert found == []


def test_no_large_file_is_tracked() -> None:
    """Models come from their authors, not out of a checkout."""
    large = [name_of(path) for path in tracked() if path.stat().st_size > 2_000_000]

    assert large == []


def test_the_first_line_of_the_changelog_is_for_what_comes() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)

    assert headings[0] == "[Unreleased]"
