"""Reads a checkpoint's safetensors files as float32 arrays, without PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError, safe_open

from embedway_local.error import ModelCorrupt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["Weights", "read_weights"]


class Weights(Mapping[str, "NDArray[np.float32]"]):
    """Tensors by the name that `transformers` gives them, read from disk when asked for."""

    def __init__(self, files: Mapping[str, Path], prefix: str) -> None:
        self._files = files
        self._prefix = prefix

    def __getitem__(self, name: str) -> NDArray[np.float32]:
        path = self._files.get(self._prefix + name)
        if path is None:
            raise ModelCorrupt(f"the checkpoint has no tensor {self._prefix + name!r}")
        with _opened(path) as file:
            return np.asarray(file.get_tensor(self._prefix + name), dtype=np.float32)

    def __iter__(self) -> Iterator[str]:
        cut = len(self._prefix)
        return (name[cut:] for name in self._files if name.startswith(self._prefix))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def read_weights(paths: list[Path], anchor: str) -> Weights:
    """
    Open the files; `anchor` is a tensor that the architecture always has.

    Checkpoints of a model with a head carry a prefix (`bert.`), which the anchor reveals.
    """
    files: dict[str, Path] = {}
    for path in paths:
        with _opened(path) as file:
            files.update(dict.fromkeys(file.keys(), path))
    for name in files:
        if name == anchor or name.endswith(f".{anchor}"):
            return Weights(files, name.removesuffix(anchor))
    raise ModelCorrupt(f"{paths[0].name}: no tensor {anchor!r}; not a checkpoint of this kind")


def _opened(path: Path) -> safe_open:
    try:
        return safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise ModelCorrupt(f"{path}: not a readable safetensors file ({error})") from error
