"""Finds the files in which an ONNX model keeps its larger tensors, without the `onnx` package."""

from __future__ import annotations

import mmap
import os
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt, ModelNotFound, ModelUnsupported

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["outside_files", "outside_names"]

# Messages of onnx.proto that may hold a tensor, by the number of the field that leads there.
_MODEL = {7: "graph", 25: "function"}
_FIELDS: dict[str, dict[int, str]] = {
    "model": _MODEL,
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_DEEPEST = 64


def outside_files(model: Path) -> tuple[Path, ...]:
    """
    The files beside an ONNX model that hold tensors of it, sorted.

    Raises `ModelCorrupt` when the model cannot be read, `ModelUnsupported` when it names a file
    that is not in its own folder, `ModelNotFound` when one is missing.

    Links must lead to where the model's own does: the hub's cache is made of links into one folder,
    and any other could lead to any file of this machine.
    """
    files = tuple(model.parent / name for name in outside_names(model))
    home = model.resolve().parent
    for file in files:
        if not file.is_file():
            raise ModelNotFound(f"{model}: its tensors are in {file.name}, which is not beside it")
        if file.resolve().parent != home:
            raise ModelUnsupported(
                f"{model}: {file.name} is a symbolic link out of the model's folder; copy the file"
            )
    return files


def outside_names(model: Path) -> list[str]:
    """The names of those files, which need not be there; raises `outside_files`' other errors."""
    try:
        with model.open("rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise ModelCorrupt(f"{model}: an empty file")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                found = sorted(set(_locations(data)))
    except OSError as error:
        raise ModelCorrupt(f"{model}: cannot be read ({error.strerror or error})") from error
    except (ValueError, IndexError) as error:
        raise ModelCorrupt(f"{model}: not a readable ONNX file ({error})") from error
    for name in found:
        _require_beside(model, name)
    return found


def _require_beside(model: Path, name: str) -> None:
    """A plain name on every system: no folder, no drive, and not the model itself."""
    plain = PurePosixPath(name).name == name == PureWindowsPath(name).name
    if not plain or name in {"", ".", ".."} or "\0" in name or name == model.name:
        raise ModelUnsupported(
            f"{model}: its tensors are in {name!r}, which is not a file beside it; export it again"
        )


def _locations(data: mmap.mmap) -> Iterator[str]:
    pending = [("model", 0, len(data), 0)]
    while pending:
        kind, start, end, depth = pending.pop()
        if depth > _DEEPEST:
            raise ValueError("nested too deep")
        inner = _FIELDS[kind]
        for field, first, last in _messages(data, start, end):
            wanted = inner.get(field)
            if wanted == "entry":
                yield from _location(data, first, last)
            elif wanted is not None:
                pending.append((wanted, first, last, depth + 1))


def _location(data: mmap.mmap, start: int, end: int) -> Iterator[str]:
    """The value of a key-value pair whose key is `location`."""
    pair = {field: data[first:last] for field, first, last in _messages(data, start, end)}
    if pair.get(1) == b"location":
        yield pair.get(2, b"").decode()


def _messages(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The fields of a message that have a length: number, first byte, and the byte after them."""
    place = start
    while place < end:
        key, place = _number(data, place)
        kind = key & 7
        if kind == 2:
            size, place = _number(data, place)
            if place + size > end:
                raise ValueError("a field is longer than its message")
            yield key >> 3, place, place + size
            place += size
        elif kind == 0:
            _, place = _number(data, place)
        elif kind in {1, 5}:
            place += 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of unknown kind {kind}")
    if place != end:
        raise ValueError("a field is longer than its message")


def _number(data: mmap.mmap, place: int) -> tuple[int, int]:
    """A variable-length integer, and the byte after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, place
    raise ValueError("a number without an end")
