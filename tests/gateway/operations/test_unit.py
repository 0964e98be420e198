"""The systemd unit, looked over by systemd itself."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from doubles.operations_environment import OPERATIONS

UNIT = OPERATIONS / "systemd" / "embedway.service"


@pytest.fixture(scope="module")
def analyze() -> str:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd is not here: apt-get install systemd")
    return program


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(key, []).append(value)
    return found


def test_systemd_takes_it(analyze: str, tmp_path: Path) -> None:
    """With a program that is here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/embedway/bin/embedway", "/bin/true"))
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    said = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, said) == (0, [])


def test_systemd_calls_it_well_locked(analyze: str) -> None:
    """At most 2.0 of 10; an ordinary service has 9.6."""
    done = subprocess.run(
        [analyze, "security", "--offline=true", "--no-pager", "--threshold=20", str(UNIT)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_workers_are_told_to_stop_by_the_gateway_alone() -> None:
    """A second SIGTERM, from systemd, would end what they had begun."""
    found = settings()
    assert found["KillMode"] == ["mixed"]
    assert found["KillSignal"] == ["SIGTERM"]
    assert found["ExecReload"] == ["/bin/kill -HUP $MAINPID"]
    # drain_delay of 5 s, as the documents advise, and the grace of 30 s that it has.
    assert int(found["TimeoutStopSec"][0]) >= 5 + 30 + 5


def test_what_it_needs_while_it_runs_is_where_nothing_is_cleaned_away() -> None:
    found = settings()
    (name,) = found["RuntimeDirectory"]
    assert f"TMPDIR=/run/{name}" in found["Environment"]
    assert found["RuntimeDirectoryMode"] == ["0700"]


def test_the_user_exists_before_it_starts() -> None:
    (name,) = settings()["User"]
    lines = (OPERATIONS / "systemd" / "embedway.sysusers").read_text().splitlines()
    assert any(line.split()[:2] == ["u", name] for line in lines)
