"""Reads a checkpoint's safetensors files as float32 arrays, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from embedway_local.error import ModelCorrupt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Weights", "read_weights"]

# What TensorFlow called them; old checkpoints, bert-base-uncased among them, still do.
_RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
_TYPES = {"F64", "F32", "F16", "BF16"}


class Weights:
    """Tensors by the name that `transformers` gives them, read from disk when asked for."""

    def __init__(self, places: Mapping[str, tuple[Path, str]], prefix: str) -> None:
        self._places = places
        self._prefix = prefix

    def has(self, name: str) -> bool:
        """Is there a tensor of this name?"""
        return self._prefix + name in self._places

    def above(self) -> Weights:
        """The same, one step out of the prefix: where a head stands beside its encoder."""
        outer = self._prefix.rstrip(".").rpartition(".")[0]
        return Weights(self._places, f"{outer}." if outer else "")

    def take(self, name: str, *shape: int | None) -> NDArray[np.float32]:
        """
        The tensor, which must have this shape; None stands for any size.

        Raises `ModelCorrupt` when it is missing or another, or not of floating point.
        """
        whole = self._prefix + name
        if whole not in self._places:
            raise ModelCorrupt(f"the checkpoint has no tensor {whole!r}")
        path, stored = self._places[whole]
        try:
            with safe_open(path, framework="np") as file:
                about = file.get_slice(stored)
                found, kind = about.get_shape(), about.get_dtype()
                if len(found) != len(shape) or any(
                    want not in {None, size} for want, size in zip(shape, found, strict=True)
                ):
                    raise ModelCorrupt(
                        f"{path}: {stored!r} has shape {found}, but config.json says {list(shape)}"
                    )
                if kind not in _TYPES:
                    raise ModelCorrupt(f"{path}: {stored!r} is of type {kind}, no floating point")
                with np.errstate(over="ignore"):  # F64 beyond F32; what comes out is looked at
                    values = np.asarray(file.get_tensor(stored), dtype=np.float32)
        except (SafetensorError, OSError) as error:
            raise _unreadable(path, error) from error
        # One such number makes NaN of every vector, without an error anywhere.
        if not np.isfinite(values).all():
            raise ModelCorrupt(f"{path}: {stored!r} holds values that are not finite")
        return values


def read_weights(paths: list[Path], anchor: str) -> Weights:
    """
    Open the files; `anchor` is a tensor that the architecture always has.

    Checkpoints of a model with a head carry a prefix (`bert.`), which the anchor reveals.
    """
    places: dict[str, tuple[Path, str]] = {}
    for path in paths:
        try:
            with safe_open(path, framework="np") as file:
                for stored in file.keys():  # noqa: SIM118 - it is no dictionary
                    name = _today(stored)
                    if name in places:
                        raise ModelCorrupt(f"{path}: {stored!r} is there twice, as {name!r}")
                    places[name] = (path, stored)
        except (SafetensorError, OSError) as error:
            raise _unreadable(path, error) from error
    anchors = [name for name in places if name == anchor or name.endswith(f".{anchor}")]
    if not anchors:
        raise ModelCorrupt(f"{paths[0]}: no tensor {anchor!r}; not a checkpoint of this kind")
    return Weights(places, min(anchors, key=len).removesuffix(anchor))


def _today(name: str) -> str:
    for old, new in _RENAMED.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name


def _unreadable(path: Path, error: Exception) -> ModelCorrupt:
    return ModelCorrupt(f"{path}: not a readable safetensors file ({error})")
