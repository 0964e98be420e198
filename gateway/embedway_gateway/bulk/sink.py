"""Writes vectors as .parquet, .jsonl or .npy: first in parts, then the parts as one file."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
import numpy as np

from embedway_gateway.bulk.error import OutputRefused
from embedway_gateway.bulk.row import Cell, Row

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["JSONLines", "NumPy", "Sink", "shortest", "sink_for"]


class Sink(Protocol):
    """A file format. Both methods write a file that nobody reads before it is renamed."""

    def write(self, path: Path, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
        """Write one part: row i of `vectors`, float32 (n, d), belongs to `rows[i]`."""

    def merge(self, parts: Sequence[Path], path: Path, about: Mapping[str, str]) -> None:
        """Write the parts as one file, in order and in constant memory; `about` goes in it."""


def sink_for(out: Path, *, keep: bool, named: bool) -> Sink:
    """The format that the file's name asks for; `keep` and `named`: it must hold columns, ids."""
    suffix = out.suffix.lower()
    if suffix == ".npy":
        if keep or named:
            option = "--keep" if keep else "--id-field"
            raise OutputRefused(
                f"{out}: a .npy file holds the vectors only, so {option} has no effect; "
                f"leave it out, or write .parquet or .jsonl"
            )
        return NumPy()
    if suffix == ".jsonl":
        return JSONLines()
    if suffix == ".parquet":
        from embedway_gateway.bulk.parquet_sink import Parquet

        return Parquet()
    raise OutputRefused(f"{out}: the output ends in .parquet, .jsonl or .npy")


class NumPy:
    """The vectors alone, float32 (n, d), in the order of the input."""

    def write(self, path: Path, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
        """One array."""
        with path.open("wb") as file:
            np.save(file, vectors)

    def merge(self, parts: Sequence[Path], path: Path, about: Mapping[str, str]) -> None:
        """One array; written as a stream, since a full disk kills whoever writes through mmap."""
        shapes = [np.load(part, mmap_mode="r").shape for part in parts]
        shape = (sum(rows for rows, _ in shapes), shapes[0][1])
        with path.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(np.load(part).astype("<f4", copy=False).data)


class JSONLines:
    """One `{"id": …, "embedding": […]}` a line, with the kept fields between the two."""

    def write(self, path: Path, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
        """The lines of one part."""
        encode = msgspec.json.Encoder(enc_hook=_plain).encode
        with path.open("wb") as file:
            for row, vector in zip(rows, shortest(vectors).tolist(), strict=True):
                file.write(encode({"id": row.id, **row.kept, "embedding": vector}))
                file.write(b"\n")

    def merge(self, parts: Sequence[Path], path: Path, about: Mapping[str, str]) -> None:
        """The parts' lines, copied."""
        with path.open("wb") as file:
            for part in parts:
                with part.open("rb") as source:
                    shutil.copyfileobj(source, file, 1024 * 1024)


def shortest(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """
    Doubles that print with about 10 digits instead of 17, and are the same float32.

    JSON writers print the shortest digits of a double; a widened float32 needs all 17, which
    doubles the file. A quotient of two exactly represented numbers is correctly rounded, so what
    is returned is the double nearest to the 10 digits.
    """
    wide = vectors.astype(np.float64)
    size = np.abs(wide)
    exponent = np.floor(np.log10(size, where=size > 0, out=np.zeros_like(size)))
    scale = 10.0 ** np.clip(9 - exponent, 0, 22)
    short: NDArray[np.float64] = np.rint(wide * scale) / scale
    return np.where(short.astype(np.float32) == vectors, short, wide)


def _plain(value: object) -> object:
    return value.plain() if isinstance(value, Cell) else str(value)
