"""The limit of open files follows `max_connections`, as far as the system allows."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import logging, resource, sys
from embedway_gateway.web.crowd import make_room
logging.basicConfig(format="%(message)s")
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
make_room(connections)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("soft", "hard", "connections", "then", "warns"),
    [
        (256, 4096, 1000, 2024, False),
        (3000, 4096, 1000, 3000, False),
        (256, 1500, 1000, 1500, True),
    ],
)
def test_there_are_files_for_all_connections(
    soft: int, hard: int, connections: int, then: int, warns: bool
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(soft), str(hard), str(connections)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout == f"{then}\n"
    assert warns == ("ulimit -n" in done.stderr)
