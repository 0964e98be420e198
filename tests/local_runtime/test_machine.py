import os
from pathlib import Path

import pytest

from embedway_local.machine import usable_cores


@pytest.fixture(autouse=True)
def _sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("max 100000", 16),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("9900000 100000", 16),
        ("nonsense", 16),
        ("one two", 16),
        ("100 0", 16),
        ("", 16),
    ],
)
def test_the_containers_quota_counts(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(quota)

    assert cores == usable_cores(tmp_path)


@pytest.mark.parametrize(("quota", "cores"), [("-1", 16), ("300000", 3), ("250000", 3)])
def test_the_first_kind_of_cgroup_counts_too(tmp_path: Path, quota: str, cores: int) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")

    assert cores == usable_cores(tmp_path)


def test_without_a_quota_affinity_counts(tmp_path: Path) -> None:
    assert 16 == usable_cores(tmp_path)


def test_without_affinity_all_cores_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)

    assert 1 == usable_cores(tmp_path)
