from pathlib import Path

import pytest

from embedway_local.processor import has_bf16, mixed_signs_are_exact


@pytest.mark.parametrize(
    ("machine", "flags", "exact"),
    [
        ("x86_64", "flags\t\t: fpu avx2 avx512f avx512_vnni", True),
        ("AMD64", "flags : avx2 avx_vnni", True),
        ("x86_64", "flags\t\t: fpu avx2 avx512f", False),
        ("x86_64", "nothing", False),
        ("aarch64", "Features : fp asimd", True),
    ],
)
def test_products_of_mixed_signs_saturate_on_x86_without_vnni(
    tmp_path: Path, machine: str, flags: str, exact: bool
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\n{flags}\n")

    assert mixed_signs_are_exact(cpuinfo=cpuinfo, machine=machine) == exact


@pytest.mark.parametrize(
    ("flags", "able"),
    [("flags : avx512_bf16", True), ("Features : bf16", True), ("flags : avx2", False)],
)
def test_bf16_is_where_the_processor_says_so(tmp_path: Path, flags: str, able: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(flags)

    assert has_bf16(cpuinfo=cpuinfo) == able
    assert not has_bf16(cpuinfo=tmp_path / "nothing")
