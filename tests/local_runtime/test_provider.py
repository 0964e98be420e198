"""Where a model runs when there is no card, or none is wanted."""

import logging
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from doubles.cuda_driver import Libraries
from embedway_local import DeviceUnavailable, LocalEmbedder, LocalError, ModelCorrupt, provider
from embedway_local.checkpoint import read_checkpoint
from embedway_local.gpu import driver
from embedway_local.gpu.cuda import Plan
from embedway_local.graph.cache import built
from embedway_local.machine import usable_cores
from embedway_local.provider import load


@pytest.fixture
def graph(tiny: Callable, home: Path) -> Path:
    return built(read_checkpoint(tiny().folder), home)


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "embedway.local")


def test_the_processor_can_be_asked_for(graph: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "cpu" == load(graph, "cpu", None).device
    assert ["running on the processor: asked for"] == caplog.messages


def test_a_call_a_core_unless_fewer_are_wanted(graph: Path) -> None:
    by_default, bounded = load(graph, "cpu", None), load(graph, "cpu", 1)

    assert (usable_cores(), 1) == (by_default.callers, bounded.callers)


def test_a_damaged_graph_is_not_blamed_on_the_card(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"no protobuf")

    with pytest.raises(ModelCorrupt, match="damaged"):
        load(damaged, "auto", None)


def test_what_is_raised_is_not_printed_as_well(
    graph: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LocalError, match="out of data bounds"):
        load(graph, "cpu", None).session.run([[1, 30, 2]])

    assert ("", "") == capfd.readouterr()


@pytest.mark.parametrize(
    ("driver", "words"),
    [
        (None, "built without CUDA"),
        (13000, "built without CUDA; to use the card: `pip uninstall -y onnxruntime"),
    ],
)
def test_without_a_card_the_processor_is_taken_and_one_line_says_why(
    graph: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    driver: int | None,
    words: str,
) -> None:
    """The real ONNX Runtime of the tests has no CUDA; the cure is for those who have a card."""
    monkeypatch.setattr(provider, "driver_version", lambda: driver)

    assert "cpu" == load(graph, "auto", None).device

    (line,) = caplog.messages
    assert line.startswith("running on the processor: the installed onnxruntime is ")
    assert words in line
    assert ("pip install" in line) is (driver is not None)


def test_without_cuda_the_driver_is_never_started(
    graph: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would keep CUDA from whoever is forked from this process (torch's data loaders, say)."""
    libraries = Libraries()
    for name in ("driver_version", "read_driver"):
        monkeypatch.setattr(provider, name, partial(getattr(driver, name), libraries))

    assert "cpu" == load(graph, "auto", None).device
    with pytest.raises(DeviceUnavailable, match="built without CUDA"):
        load(graph, "cuda", None)

    assert {"cuDriverGetVersion"} == set(libraries.asked)
    assert "to use the card: `pip uninstall" in caplog.messages[0]


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "cuda:all", "tensorrt"])
def test_a_card_that_was_asked_for_is_never_replaced(
    tiny: Callable, home: Path, device: str
) -> None:
    with pytest.raises(DeviceUnavailable, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        LocalEmbedder(tiny().folder, home=home, device=device)


@pytest.mark.parametrize("device", ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:0,", "CUDA", 1])
def test_a_device_that_nobody_knows_is_refused(graph: Path, device: str) -> None:
    with pytest.raises(ValueError, match="are known"):
        load(graph, device, None)


@pytest.mark.parametrize("device", ["auto", "cpu"])
def test_half_precision_is_never_replaced_by_the_processors(graph: Path, device: str) -> None:
    with pytest.raises(DeviceUnavailable, match=r'fp16 runs on a CUDA card.*precision="fp32"'):
        load(graph, device, None, plan=Plan(precision="fp16"))


def test_a_missing_device_is_told_by_another_process_too() -> None:
    """A worker's error reaches its driver pickled, with notes."""
    error = DeviceUnavailable("no card", "buy one")
    error.add_note("on node 1")

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.reason, again.cure) == ("no card; buy one", "no card", "buy one")
    assert again.__notes__ == ["on node 1"]
