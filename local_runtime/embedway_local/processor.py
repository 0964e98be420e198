"""What arithmetic this machine's processor has."""

from __future__ import annotations

import platform
from pathlib import Path

__all__ = ["has_bf16", "mixed_signs_are_exact"]

_CPUINFO = Path("/proc/cpuinfo")
_X86 = {"x86_64", "amd64", "i386", "i686"}


def mixed_signs_are_exact(*, cpuinfo: Path = _CPUINFO, machine: str | None = None) -> bool:
    """
    May unsigned bytes be multiplied by signed ones?

    On x86 without VNNI two such products are added in 16 bits, which saturates silently:
    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    if (machine or platform.machine()).lower() not in _X86:
        return True
    return bool(_flags(cpuinfo) & {"avx512_vnni", "avx_vnni"})


def has_bf16(*, cpuinfo: Path = _CPUINFO) -> bool:
    """Does the processor multiply bfloat16? False where that cannot be found out."""
    return bool(_flags(cpuinfo) & {"avx512_bf16", "amx_bf16", "bf16"})


def _flags(cpuinfo: Path) -> set[str]:
    try:
        lines = cpuinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return set()
    # "flags" on x86, "Features" on ARM; every core has the same.
    return next(
        (
            set(line.partition(":")[2].split())
            for line in lines
            if line.startswith(("flags", "Features"))
        ),
        set(),
    )
