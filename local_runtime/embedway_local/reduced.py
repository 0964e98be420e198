"""Loads a model in the precision that was chosen, and holds it to what was measured of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from embedway_local import agreement
from embedway_local.agreement import Agreement
from embedway_local.catalogue import full_name
from embedway_local.error import DeviceUnavailable
from embedway_local.gpu.cuda import Plan
from embedway_local.graph.cache import built, place
from embedway_local.graph.int8 import built_int8, int8_folder
from embedway_local.openvino import load_bf16
from embedway_local.precision import Precision
from embedway_local.provider import Device, Loaded, load
from embedway_local.source.find import find
from embedway_local.store import Store
from embedway_local.tokenise import Tokeniser

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from embedway_local.checkpoint import Checkpoint

__all__ = ["agreed", "load_in", "measured_agreements", "prepared"]

_log = logging.getLogger("embedway.local")

# Texts a call while measuring, all of like length.
_TOGETHER = 8
_OPENVINO_TOKENS = 384


def prepared(checkpoint: Checkpoint, home: Path, precision: Precision) -> Path:
    """The graph that runs in this precision, built now if it is not there yet."""
    if precision == "int8":
        return built_int8(checkpoint, home)
    return built(checkpoint, home)


def load_in(
    path: Path,
    precision: Precision,
    device: Device,
    threads: int | None,
    *,
    pad: int,
    plan: Plan | None = None,
) -> Loaded:
    """
    Load a prepared graph; never in another precision than the one that was asked for.

    Raises `DeviceUnavailable` with the cure where the device has no such arithmetic.
    """
    if precision == "fp32":
        return load(path, device, threads, pad=pad, plan=plan)
    if precision == "fp16":
        half = replace(plan or Plan(), precision="fp16")
        return load(path, device, threads, pad=pad, plan=half)
    if device not in {"auto", "cpu"}:
        raise DeviceUnavailable(
            f"{precision} runs on the processor, not on a card",
            'use device="cpu", or precision="fp32"',
        )
    _log.info("running on the processor: that is where %s is fast", precision)
    if precision == "int8":
        return load(path, "cpu", threads, pad=pad)
    session, callers = load_bf16(path, threads, pad=pad)
    return Loaded(session, "cpu", callers, _OPENVINO_TOKENS)


def agreed(
    checkpoint: Checkpoint, home: Path, precision: Precision, loaded: Loaded
) -> Agreement | None:
    """
    How far the loaded model agrees with fp32, measured now if it never was; None for fp32 itself.

    Raises `ModelUnsupported` when that is too little, `DeviceUnavailable` when this machine
    computes something else than what was measured.
    """
    if precision == "fp32":
        return None
    exact = built(checkpoint, home)
    path = _kept(exact, precision)
    candidate = _Texts(checkpoint, loaded)
    measured = agreement.read(path)
    if measured is None:
        _log.info("measuring how %s in %s agrees with fp32", checkpoint.folder, precision)
        plain = load(exact, "cpu", loaded.callers, pad=checkpoint.pad)
        measured = agreement.measure(_Texts(checkpoint, plain), candidate)
        agreement.write(path, measured)
    agreement.require(measured.agreement, precision, str(checkpoint.folder))
    agreement.hold(measured, candidate, path)
    return measured.agreement


def measured_agreements(model: str, home: Path) -> dict[Precision, Agreement]:
    """
    What is known of a model in the store by precision, without building or measuring anything.

    Raises the errors of `find` for one that is damaged.
    """
    store = Store(home)
    if not store.has(full_name(model)):
        return {}
    exact = place(find(model, store), home)
    kinds: tuple[Precision, ...] = ("int8", "bf16", "fp16")
    found: dict[Precision, Agreement] = {}
    for kind in kinds:
        measured = agreement.read(_kept(exact, kind))
        if measured is not None:
            found[kind] = measured.agreement
    return found


def _kept(exact: Path, precision: Precision) -> Path:
    folder = int8_folder(exact) if precision == "int8" else exact.parent
    return folder / f"agreement-{precision}.json"


class _Texts:
    """Embeds texts as they are, without prompts."""

    def __init__(self, checkpoint: Checkpoint, loaded: Loaded) -> None:
        self._tokeniser = Tokeniser(checkpoint)
        self._loaded = loaded

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 (n, d)."""
        ids, _ = self._tokeniser.encode(texts)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        parts = [order[start : start + _TOGETHER] for start in range(0, len(order), _TOGETHER)]
        session = self._loaded.session
        vectors = np.empty((len(texts), session.dimensions), dtype=np.float32)
        with ThreadPoolExecutor(self._loaded.callers) as pool:
            made = pool.map(lambda part: session.run([ids[index] for index in part]), parts)
            for part, rows in zip(parts, made, strict=True):
                vectors[part] = rows
        return vectors
