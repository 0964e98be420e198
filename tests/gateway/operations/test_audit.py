"""`make audit` says what is known, and never calls sound what nobody answered for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from doubles.operations_environment import OPERATIONS

FLAW = {"id": "PYSEC-1", "fix_versions": ["1.0.1"]}
BAD = {"name": "starlette", "version": "1.0.0", "vulns": [FLAW]}
SOUND = {"name": "numpy", "version": "2.4.0", "vulns": []}
UNKNOWN = {"name": "oci", "skip_reason": "not found"}


def audited(folder: Path, answer: list[dict[str, Any]] | None, said: str = "") -> tuple[int, str]:
    """With a pip-audit that answers so; None is none at all."""
    report = "" if answer is None else json.dumps({"dependencies": answer})
    (folder / "answer").write_text(report)
    python = folder / "python"
    python.write_text(
        f"""#!/bin/sh
if [ "$1" != -m ]; then exec {sys.executable} "$@"; fi
while [ "$1" != --output ]; do shift; done
cat {folder}/answer > "$2"
echo "{said}" >&2
exit 1
"""
    )
    python.chmod(0o755)
    done = subprocess.run(
        [str(OPERATIONS / "audit"), str(python), "some.lock"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_known_vulnerability_fails(tmp_path: Path) -> None:
    code, words = audited(tmp_path, [BAD, SOUND])
    assert code == 1
    assert "starlette 1.0.0: PYSEC-1, fixed in 1.0.1" in words
    assert "2 packages looked up, 1 with known" in words


def test_none_is_said_only_of_what_was_looked_up(tmp_path: Path) -> None:
    code, words = audited(tmp_path, [SOUND, UNKNOWN])
    assert code == 0
    assert "1 packages looked up, 0 with known" in words
    assert "SKIPPED, the advisory service does not know oci" in words


def test_a_service_that_knows_nothing_is_a_skip(tmp_path: Path) -> None:
    code, words = audited(tmp_path, [UNKNOWN])
    assert (code, "looked up" in words) == (0, False)
    assert "SKIPPED" in words


@pytest.mark.parametrize(
    ("said", "code"), [("requests.exceptions.ConnectionError: x", 0), ("error: no such option", 1)]
)
def test_the_network_fails_nothing_and_a_mistake_does(tmp_path: Path, said: str, code: int) -> None:
    found, words = audited(tmp_path, None, said)
    assert found == code
    assert "SKIPPED" in words
