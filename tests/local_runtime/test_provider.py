"""Which device is taken; ONNX Runtime is replaced, since the tests' machines have no card."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from embedway_local import DeviceUnavailable, LocalEmbedder, ModelCorrupt, provider
from embedway_local.machine import usable_cores
from embedway_local.provider import load

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


class FakeRuntime:
    """
    The module `onnxruntime`: `compiled` is what it says is available, `works` what really is.

    `broken` says where CUDA fails: "start" raises when the session is made, "run" at its first
    run, None never.
    """

    def __init__(self, *, compiled: list[str], works: bool = True, broken: str | None = None):
        self.compiled = compiled
        self.works = works
        self.broken = broken
        self.made: list[SimpleNamespace] = []

    def get_available_providers(self) -> list[str]:
        return self.compiled

    @staticmethod
    def SessionOptions() -> SimpleNamespace:  # noqa: N802 - ONNX Runtime's name
        return SimpleNamespace()

    def InferenceSession(  # noqa: N802 - the same
        self, path: Path, options: SimpleNamespace, *, providers: list
    ) -> SimpleNamespace:
        names = [item if isinstance(item, str) else item[0] for item in providers]
        if CUDA in names and self.broken == "start":
            raise RuntimeError("libcublas.so.13: cannot open shared object file")
        if path.name == "damaged":
            raise RuntimeError("no protobuf")
        taken = names if self.works else [CPU]

        def run(outputs: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            if taken[0] == CUDA and self.broken == "run":
                raise RuntimeError("no kernel image is available")
            return [np.zeros((len(feeds["ids"]), 2), np.float32)]

        session = SimpleNamespace(
            options=options,
            run=run,
            get_providers=lambda: taken,
            get_inputs=lambda: [SimpleNamespace(name="ids", type="tensor(int32)")],
            get_outputs=lambda: [SimpleNamespace(name="out", shape=["batch", 2])],
        )
        self.made.append(session)
        return session


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeRuntime]:
    def install(**options: object) -> FakeRuntime:
        fake = FakeRuntime(**options)
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        return fake

    return install


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "embedway.local")


def test_a_card_that_works_is_taken(runtime: Callable, caplog: pytest.LogCaptureFixture) -> None:
    runtime(compiled=[CUDA, CPU])

    loaded = load(Path("graph"), "auto", None)

    assert "cuda" == loaded.device
    assert ["running on CUDA: a card works"] == caplog.messages
    assert loaded.tokens >= 8192


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compiled": [CPU]}, "built without CUDA"),
        ({"compiled": [CUDA, CPU], "works": False}, "CUDA did not start"),
        ({"compiled": [CUDA, CPU], "broken": "start"}, "libcublas.so.13"),
        ({"compiled": [CUDA, CPU], "broken": "run"}, "no kernel image"),
    ],
    ids=["not compiled in", "silently absent", "raises", "fails at its first run"],
)
def test_a_card_that_does_not_work_is_passed_over_with_the_reason(
    runtime: Callable, caplog: pytest.LogCaptureFixture, options: dict, reason: str
) -> None:
    """`get_available_providers` is not believed: it lists what was compiled in."""
    runtime(**options)

    loaded = load(Path("graph"), "auto", None)

    assert "cpu" == loaded.device
    assert 1 == len(caplog.messages)
    assert caplog.messages[0].startswith("running on the processor: ")
    assert reason in caplog.messages[0]
    caplog.clear()
    with pytest.raises(DeviceUnavailable, match=r'pip install "embedway\[gpu\]"') as raised:
        load(Path("graph"), "cuda", None)
    assert reason in raised.value.reason
    assert [] == caplog.messages


def test_two_packages_in_one_place_are_named(
    runtime: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime(compiled=[CPU])
    monkeypatch.setattr(provider, "version", lambda _: "1.31.1")

    with pytest.raises(DeviceUnavailable, match="onnxruntime overwrote onnxruntime-gpu"):
        load(Path("graph"), "cuda", None)


def test_the_processor_can_be_asked_for(
    runtime: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    runtime(compiled=[CUDA, CPU])

    assert "cpu" == load(Path("graph"), "cpu", None).device
    assert ["running on the processor: asked for"] == caplog.messages


def test_libraries_are_loaded_first_where_the_version_can(
    runtime: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = runtime(compiled=[CUDA, CPU])
    fake.preload_dlls = lambda: print("missing: libcudnn")  # noqa: T201 - as it does

    load(Path("graph"), "cuda", None)
    captured = capsys.readouterr()

    assert "" == captured.out
    assert "libcudnn" in captured.err


def test_one_thread_a_call_and_a_call_a_core(runtime: Callable) -> None:
    fake = runtime(compiled=[CPU])

    by_default, bounded = load(Path("graph"), "cpu", None), load(Path("graph"), "cpu", 1)

    assert (usable_cores(), 1) == (by_default.callers, bounded.callers)
    assert {(1, 1)} == {
        (made.options.intra_op_num_threads, made.options.inter_op_num_threads) for made in fake.made
    }


@pytest.mark.parametrize("compiled", [[CPU], [CUDA, CPU]])
def test_a_damaged_graph_is_not_blamed_on_the_card(runtime: Callable, compiled: list[str]) -> None:
    runtime(compiled=compiled)

    with pytest.raises(ModelCorrupt, match="damaged"):
        load(Path("damaged"), "auto", None)


def test_cuda_without_a_card_names_the_cure(tiny: Callable, home: Path) -> None:
    """The real ONNX Runtime of the tests has no CUDA."""
    with pytest.raises(DeviceUnavailable, match="pip uninstall -y onnxruntime onnxruntime-gpu"):
        LocalEmbedder(tiny().folder, home=home, device="cuda")
