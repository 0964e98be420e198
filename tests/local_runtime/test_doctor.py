"""The examination: it works anywhere, and says what really ran."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnxruntime
import pytest

from doubles.cuda_runtime import CPU, CUDA
from embedway_local.doctor import examine
from embedway_local.doctor.host import read_host
from embedway_local.doctor.nodes import count_nodes
from embedway_local.doctor.probe import write_probe
from embedway_local.gpu.driver import Card, Driver
from embedway_local.gpu.library import missing_libraries
from embedway_local.gpu.wheel import Wheel

L4 = Driver(12080, (Card(0, "NVIDIA L4", "8.9", 24 * 10**9, None),))


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks the network is told."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", refuse)


def test_a_model_that_is_here_is_run_and_timed(tiny: Callable, home: Path) -> None:
    report = examine(model=tiny().folder, home=home)
    trial = report.trial

    assert "cpu" == trial.device
    assert "fp32" == trial.precision
    assert [CPU] == list(trial.nodes)
    assert trial.nodes[CPU] > 50
    assert trial.speed.query_ms > 0
    assert trial.speed.batch_texts_per_s > 0
    assert onnxruntime.__version__ == report.installed.version
    assert report.met


def test_without_a_model_a_small_graph_is_run(home: Path) -> None:
    report = examine(home=home)

    assert ("cpu", None, None) == (report.trial.device, report.trial.model, report.trial.speed)
    assert report.trial.nodes[CPU] >= 5
    assert "embedway models pull" in report.notes[0]
    assert () == report.disk.models


@pytest.mark.parametrize("device", ["cuda", "cuda:all", "tensorrt"])
def test_a_card_that_was_asked_for_and_did_not_run_is_not_met(home: Path, device: str) -> None:
    report = examine(device, home=home)

    assert not report.met
    assert "cpu" == report.trial.device  # what would run instead
    assert "built without CUDA" in report.trial.why
    assert "pip install" in report.trial.cure


def test_what_was_asked_for_and_ran_is_met(home: Path) -> None:
    report = examine("cpu", home=home)

    assert report.met
    assert report.trial.why is None
    ran = replace(report.trial, device="cuda")
    assert replace(report, asked="cuda:0", trial=ran).met
    assert not replace(report, asked="cuda:1", trial=ran).met


def test_a_damaged_model_does_not_stop_it(tiny: Callable, home: Path) -> None:
    folder = tiny().folder
    (folder / "model.safetensors").write_bytes(b"\x00" * 64)

    report = examine(model=folder, home=home)

    assert report.trial.device is None
    assert "model.safetensors" in report.trial.why
    assert {} == report.trial.nodes
    assert not replace(report, asked="cpu").met


def test_without_onnxruntime_it_says_how_to_get_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("embedway_local.doctor.examination.wheels", list)

    report = examine(home=home)

    assert report.installed.version is None
    assert "no onnxruntime is installed" == report.trial.why
    assert 'pip install "embedway[local]"' in report.trial.cure


def test_packages_that_overwrite_each_other_are_noted_with_the_line_for_this_driver(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [Wheel("onnxruntime", "1.31.1"), Wheel("onnxruntime-gpu", "1.31.1")]
    monkeypatch.setattr("embedway_local.doctor.examination.wheels", lambda: both)
    monkeypatch.setattr("embedway_local.doctor.examination.read_driver", lambda: L4)

    report = examine(home=home)

    assert report.installed.clash is not None
    assert "onnxruntime overwrote onnxruntime-gpu" in report.notes[0]
    assert 'pip install "embedway[gpu-cu12]"' in report.notes[0]


def test_a_device_that_nobody_knows_is_refused(home: Path) -> None:
    with pytest.raises(ValueError, match="are known"):
        examine("gpu", home=home)


def test_nodes_are_counted_by_the_provider_that_ran_them(tmp_path: Path) -> None:
    path = write_probe(tmp_path)

    assert [CPU] == list(count_nodes(path, "cpu", 0))


def test_where_no_profile_can_be_had_nothing_is_counted(tmp_path: Path) -> None:
    assert {} == count_nodes(tmp_path / "absent.onnx", "cpu", 0)


def test_what_compiled_in_means_is_not_taken_for_what_runs(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "cuda_version", "13.0")

    report = examine("cuda", home=home)

    assert CUDA in report.installed.available
    assert [CPU] == list(report.trial.nodes)
    assert not report.met
    if sys.platform == "linux":
        assert "libcublas.so.13" in report.installed.missing


def test_each_missing_library_is_named() -> None:
    def open_(name: str) -> None:
        if "cublas" in name:
            raise OSError(name)

    if sys.platform == "linux":
        assert ["libcublasLt.so.13", "libcublas.so.13"] == missing_libraries("13.0", open_)
        assert [] == missing_libraries("", open_)


def test_the_machine_is_read_as_the_container_has_it(tmp_path: Path) -> None:
    proc, cgroup = tmp_path / "proc", tmp_path / "sys" / "fs" / "cgroup"
    proc.mkdir()
    cgroup.mkdir(parents=True)
    (proc / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 avx512_vnni amx_int8\n"
        "\nprocessor\t: 1\nmodel name\t: Some CPU\nflags\t\t: fpu\n"
    )
    (proc / "meminfo").write_text("MemTotal:       64000000 kB\nMemFree: 1 kB\n")
    (cgroup / "memory.max").write_text("2000000000\n")
    (cgroup / "cpu.max").write_text("100000 100000\n")

    host = read_host(tmp_path)

    assert ("Some CPU", ("avx2", "avx512_vnni", "amx_int8")) == (host.processor, host.features)
    assert (1, 2_000_000_000) == (host.cores, host.memory)
    (cgroup / "memory.max").write_text("max\n")
    assert 64_000_000 * 1024 == read_host(tmp_path).memory


def test_a_machine_that_tells_nothing_is_no_error(tmp_path: Path) -> None:
    host = read_host(tmp_path)

    assert host.memory is None
    assert () == host.features
    assert host.cores >= 1


def test_nodes_are_not_counted_where_onnx_runtime_went_on_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no provider at all stands for one that does not start."""
    path = write_probe(tmp_path)
    monkeypatch.setattr("embedway_local.doctor.nodes._providers", lambda _: [3])

    assert {} == count_nodes(path, "cuda", 0)
    assert "" == capsys.readouterr().out
