"""What this machine lends to this process: cores, memory, and what its processor can."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from embedway_local.machine import usable_cores

__all__ = ["Host", "read_host"]

# As Linux writes them: what products of matrices are made of, oldest first.
_FEATURES = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")
_ARM_FEATURES = ("asimddp", "i8mm", "bf16", "sve")


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The machine as this process sees it."""

    system: str
    processor: str
    features: tuple[str, ...]
    """Instructions that matter here; empty where the system does not tell."""
    cores: int
    """That this process may use, by affinity and container."""
    cores_of_host: int
    memory: int | None
    """Bytes that this process may use; None where the system does not tell."""


def read_host(root: Path = Path("/")) -> Host:
    """Read it; `root` is where /proc and /sys are."""
    lines = _lines(root / "proc" / "cpuinfo")
    flags = set((lines.get("flags") or lines.get("Features") or "").split())
    known = _FEATURES + _ARM_FEATURES
    return Host(
        system=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        processor=lines.get("model name") or platform.processor() or platform.machine(),
        features=tuple(name for name in known if name in flags),
        cores=usable_cores(root / "sys" / "fs" / "cgroup"),
        cores_of_host=os.cpu_count() or 1,
        memory=_memory(root),
    )


def _memory(root: Path) -> int | None:
    """The least of the machine's memory and the container's."""
    total = _lines(root / "proc" / "meminfo").get("MemTotal", "").removesuffix(" kB")
    found = [int(total) * 1024] if total.isdecimal() else []
    cgroup = root / "sys" / "fs" / "cgroup"
    for place in (cgroup / "memory.max", cgroup / "memory" / "memory.limit_in_bytes"):
        try:
            found.append(int(place.read_text("ascii")))
        except (OSError, ValueError):  # "max", or there is no container
            continue
    return min(found, default=None)


def _lines(path: Path) -> dict[str, str]:
    """The first value of each `name: value`."""
    found: dict[str, str] = {}
    try:
        text = path.read_text("utf-8", errors="replace")
    except OSError:
        return found
    for line in text.splitlines():
        name, _, value = line.partition(":")
        found.setdefault(name.strip(), value.strip())
    return found
