from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from embedway_gateway.cli.app import application
from embedway_local.gpu.driver import Card, Driver

L4 = Driver(13000, (Card(0, "NVIDIA L4", "8.9", 24 * 10**9, 20 * 10**9),))


@pytest.fixture(autouse=True)
def _empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))


def check(*options: str) -> Result:
    return CliRunner().invoke(application(), ["check", "--local", *options])


def test_the_table_says_what_runs_here(tmp_path: Path) -> None:
    result = check()

    assert 0 == result.exit_code
    rows = {line[:14].strip(): line[14:].strip() for line in result.stdout.splitlines()}
    assert rows["installed as"].startswith("onnxruntime ")
    assert "nodes on CPU" in rows["really ran"]
    assert "cpu in fp32, with a small graph of our own" in rows["device"]
    assert f"{tmp_path}: 0 models, " in rows["model store"]
    assert "note: sentence-transformers/all-MiniLM-L6-v2 is not on this machine" in result.stdout


def test_nobody_without_a_card_is_told_to_install_for_one() -> None:
    assert "pip install" not in check().stdout


def test_a_card_that_lies_idle_is_told_with_the_line_that_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("embedway_local.doctor.examination.read_driver", lambda: L4)

    result = check()

    assert 0 == result.exit_code
    assert "NVIDIA L4, 24.0 GB, 20.0 GB free, compute capability 8.9" in result.stdout
    assert "why not the card: the installed onnxruntime is built without CUDA" in result.stdout
    assert 'do: `pip uninstall -y onnxruntime onnxruntime-gpu && pip install "embedway[gpu]"`' in (
        result.stdout
    )


def test_the_exit_code_is_1_when_the_device_that_was_named_did_not_run() -> None:
    result = check("--device", "cuda")

    assert 1 == result.exit_code
    assert "why not the card: " in result.stdout
    assert 'pip install "embedway[gpu]"' in result.stdout
    assert 0 == check("--device", "cpu").exit_code


def test_json_has_all_of_it() -> None:
    result = check("--json", "--device", "cuda")
    report = json.loads(result.stdout)

    assert 1 == result.exit_code
    assert report["met"] is False
    assert ["CPUExecutionProvider"] == list(report["trial"]["nodes"])
    assert {"asked", "installed", "driver", "trial", "host", "disk", "notes"} < set(report)


@pytest.mark.parametrize(
    "options", [["--local", "--device", "gpu"], ["--device", "cuda"], ["--local", "--config", "x"]]
)
def test_options_that_do_not_fit_are_refused(options: list[str]) -> None:
    result = CliRunner().invoke(application(), ["check", *options])

    assert 2 == result.exit_code
