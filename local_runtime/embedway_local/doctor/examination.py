"""Examines this machine, without a network."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from embedway_local.catalogue import DEFAULT_MODEL
from embedway_local.doctor.host import read_host
from embedway_local.doctor.nodes import count_nodes
from embedway_local.doctor.report import Disk, Installed, Report, Speed, Trial
from embedway_local.embedder import LocalEmbedder
from embedway_local.error import DeviceUnavailable, LocalError
from embedway_local.gpu.driver import Driver, read_driver
from embedway_local.gpu.library import missing_libraries, packages
from embedway_local.gpu.start import CUDA, preload
from embedway_local.gpu.target import read_target
from embedway_local.gpu.wheel import clash, install_line, wheels
from embedway_local.graph.cache import built
from embedway_local.home import embedway_home
from embedway_local.provider import Loaded, load
from embedway_local.source.find import find
from embedway_local.store import Store

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["examine"]

_Made = TypeVar("_Made")

_QUERY = "Which river runs through the capital of France?"
_BATCH = [
    f"Line {row}: " + "a river runs through the valley. " * (row % 8 + 1) for row in range(64)
]


def examine(
    device: str = "auto", *, model: str | Path = DEFAULT_MODEL, home: Path | None = None
) -> Report:
    """
    Look at everything that decides where and how fast models run, and run one.

    `model` is used when it is on this machine already; nothing is downloaded. `device` is what
    must run, "auto" for whatever does. Raises `ValueError` for a device that nobody knows.
    """
    read_target(device)
    home = home or embedway_home()
    driver = read_driver()
    installed = _installed()
    notes = [] if installed.clash is None else [f"{installed.clash}; {_cure(driver)}"]
    if installed.version is None:
        why, cure = "no onnxruntime is installed", _cure(driver)
        trial = _nothing(why, cure)
    else:
        try:
            checkpoint = find(model, Store(home), download=False)
        except LocalError as error:
            notes.append(str(error))
            trial = _probed(device)
        else:
            trial = _tried(device, str(model), checkpoint, home)
    return Report(
        asked=device,
        installed=installed,
        driver=driver,
        trial=trial,
        host=read_host(),
        disk=_disk(home),
        notes=tuple(notes),
    )


def _installed() -> Installed:
    found = wheels()
    version, cuda, available, missing = None, "", tuple[str, ...](), tuple[str, ...]()
    try:
        import onnxruntime

        available = tuple(onnxruntime.get_available_providers())
        version = str(onnxruntime.__version__)
        cuda = str(getattr(onnxruntime, "cuda_version", "") or "")
    except (ImportError, AttributeError):
        # AttributeError: of two that overwrote each other, files of both are left.
        version = None
    if CUDA in available:
        preload()
        missing = tuple(missing_libraries(cuda))
    return Installed(
        version=version,
        cuda=cuda,
        wheels=tuple(found),
        clash=clash(found, compiled=CUDA in available),
        libraries=tuple(packages()),
        missing=missing,
        available=available,
    )


def _cure(driver: Driver | None) -> str:
    """The pip line: for the card where there is a driver."""
    found = wheels()
    if driver is None:
        return install_line("local", found)
    return install_line("gpu", found, driver=driver.cuda)


def _tried(device: str, model: str, checkpoint: Checkpoint, home: Path) -> Trial:
    """The model as it would be used."""
    try:
        path = built(checkpoint, home)
        embedder, refused = _first(
            device, lambda where: LocalEmbedder(model, device=where, home=home)
        )
    except LocalError as error:
        return _nothing(str(error), getattr(error, "cure", None))
    with embedder:
        return Trial(
            device=embedder.device,
            precision=embedder.space.precision,
            nodes=count_nodes(path, embedder.device, checkpoint.pad),
            model=model,
            speed=_speed(embedder),
            why=refused.reason if refused else None,
            cure=refused.cure if refused else None,
        )


def _probed(device: str) -> Trial:
    """A small graph of our own."""
    from embedway_local.doctor.probe import write_probe

    with tempfile.TemporaryDirectory() as folder:
        path = write_probe(Path(folder))
        try:
            loaded, refused = _first(device, lambda where: load(path, where, None))
        except LocalError as error:
            return _nothing(str(error), getattr(error, "cure", None))
        return _of_probe(loaded, refused, path)


def _of_probe(loaded: Loaded, refused: DeviceUnavailable | None, path: Path) -> Trial:
    return Trial(
        device=loaded.device,
        precision=loaded.precision,
        nodes=count_nodes(path, loaded.device, 0),
        model=None,
        speed=None,
        why=refused.reason if refused else None,
        cure=refused.cure if refused else None,
    )


def _first(device: str, make: Callable[[str], _Made]) -> tuple[_Made, DeviceUnavailable | None]:
    """What runs, and why the card does not. Where a card is asked for, the processor shows it."""
    if read_target(device).kind == "cpu":
        return make("cpu"), None
    try:
        return make("cuda" if device == "auto" else device), None
    except DeviceUnavailable as error:
        return make("cpu"), error


def _nothing(why: str, cure: str | None) -> Trial:
    return Trial(device=None, precision=None, nodes={}, model=None, speed=None, why=why, cure=cure)


def _speed(embedder: LocalEmbedder) -> Speed:
    embedder.embed(_BATCH)
    queries = statistics.median(_timed(embedder, [_QUERY]) for _ in range(15))
    batches = statistics.median(_timed(embedder, _BATCH) for _ in range(3))
    return Speed(
        query_ms=queries * 1e3, batch_texts=len(_BATCH), batch_texts_per_s=len(_BATCH) / batches
    )


def _timed(embedder: LocalEmbedder, texts: list[str]) -> float:
    begun = time.perf_counter()
    embedder.embed(texts, input_type="query" if len(texts) == 1 else "document")
    return time.perf_counter() - begun


def _disk(home: Path) -> Disk:
    try:
        models = tuple(manifest.model for manifest in Store(home).models())
    except LocalError:
        models = ()
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file())
    return Disk(home=str(home), models=models, bytes=size)
