"""Memory that was freed is used again, without a fault for each of its pages."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import resource, sys
from embedway_gateway.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        bytes(bytearray(b"x" * 300_000))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

kept = keep_freed_memory() if sys.argv[1] == "kept" else None
faults()
print(faults(), kept)
"""


def _run(how: str) -> list[str]:
    command = [sys.executable, "-c", _SCRIPT, how]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc alone is told")
def test_large_buffers_cost_no_page_faults() -> None:
    faults, kept = _run("kept")
    assert kept == "True"
    # Each buffer has 73 pages.
    assert int(faults) < 73
