from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from doubles.cuda_runtime import CudaRuntime, Faults
from doubles.vectors import IDS
from embedway_local import provider
from embedway_local.checkpoint import read_checkpoint
from embedway_local.gpu import memory
from embedway_local.gpu.cuda import Plan
from embedway_local.gpu.driver import Card, Driver
from embedway_local.gpu.use import CardUse
from embedway_local.graph.cache import built
from embedway_local.graph.card import card_graph
from embedway_local.provider import Loaded, load

GB = 10**9
CARDS = tuple(Card(index, "NVIDIA L4", "8.9", 24 * GB, 20 * GB) for index in range(2))
DRIVER = Driver(13000, CARDS)


@dataclass(frozen=True)
class Model:
    """A small BERT that is built, and how it is loaded."""

    path: Path
    fused: Callable[..., Path]
    folder: Path

    def load(self, device: str, **plan: object) -> Loaded:
        use = CardUse(**{name: plan.pop(name) for name in ("memory", "capture") if name in plan})
        options = {"fused": self.fused, "longest": 20, "use": use, **plan}
        return load(self.path, device, None, plan=Plan(**options))


@pytest.fixture
def model(tiny: Callable, home: Path) -> Model:
    folder = tiny().folder
    checkpoint = read_checkpoint(folder)
    return Model(built(checkpoint, home), partial(card_graph, checkpoint, home), folder)


@pytest.fixture
def expected(model: Model) -> np.ndarray:
    """The vectors of `IDS` on the processor."""
    return model.load("cpu").session.run(IDS)


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Callable[..., CudaRuntime]:
    """Puts a machine with cards in place of this one."""

    def install(
        compiled: list[str] | None = None,
        driver: Driver | None = DRIVER,
        **faults: object,
    ) -> CudaRuntime:
        fake = CudaRuntime(compiled, Faults(**faults))
        monkeypatch.setitem(sys.modules, "onnxruntime", fake)
        monkeypatch.setattr(provider, "read_driver", lambda: driver)
        version = driver.cuda if driver else None
        monkeypatch.setattr(provider, "driver_version", lambda: version)
        monkeypatch.setattr(memory, "_runtime", lambda: fake.library)
        return fake

    return install


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorRT in single precision, without TF32."""
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")


@pytest.fixture(autouse=True)
def _logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "embedway.local")
