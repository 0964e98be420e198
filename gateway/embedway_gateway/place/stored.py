"""Vectors that are in a file already, as an endpoint of a comparison: what an index was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.bulk import parquet_source
from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.row import Fields
from embedway_gateway.bulk.source import Source
from embedway_gateway.place.error import PlaceError
from embedway_upstream import InvalidRequest

if TYPE_CHECKING:
    from embedway_gateway.place.syntax import Spec
    from embedway_upstream import EmbeddingRequest, EmbeddingResponse

__all__ = ["Stored", "Texts", "open_stored", "stored_texts"]

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of a file, where each stands, whether it has more, and empty ones that are left out."""

    texts: Sequence[str]
    places: Sequence[str]
    more: bool = False
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Stored:
    """Vectors by their text."""

    vectors: Mapping[str, Vector]

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Raises `InvalidRequest`: nothing can be embedded here."""
        raise InvalidRequest("a file of vectors cannot embed", param="input")

    def rows(self, texts: Sequence[str]) -> list[Vector | None]:
        """None for a text that the file does not have."""
        return [self.vectors.get(text) for text in texts]


def stored_texts(spec: Spec, most: int) -> Texts:
    """The first texts of the file itself; raises `PlaceError` where it has vectors only."""
    path = Path(spec.where)
    if not _has_texts(spec, path):
        raise PlaceError(
            f"{spec.label} has vectors without their texts: name those with --texts, one for each "
            "vector and in the same order"
        )
    source = Source([spec.where], Fields(text=_text(spec), skip_empty=True))
    rows = list(islice(source.rows(), most + 1))
    first = rows[:most]
    return Texts([row.text for row in first], [row.place for row in first], len(rows) > most)


def open_stored(spec: Spec, texts: Texts) -> Stored:
    """
    The vectors of these texts: by the text where the file has them, else by the place.

    Raises `BadInput` for a file that cannot be read, or whose vectors cannot be compared.
    """
    path = Path(spec.where)
    if not _has_texts(spec, path):
        return Stored(_by_place(spec, path, texts))
    wanted, found = set(texts.texts), dict[str, Vector]()
    for place, text, vector in _pairs(spec, path):
        if not isinstance(text, str) or text not in wanted:
            continue
        # Of a text that is there twice, the first.
        wanted.discard(text)
        found[text] = _checked(vector, place, next(iter(found.values()), None))
        if not wanted:
            break
    return Stored(found)


def _by_place(spec: Spec, path: Path, texts: Texts) -> dict[str, Vector]:
    count = len(texts.texts)
    rows = _matrix(path) if path.suffix.lower() == ".npy" else None
    if rows is not None:
        there = len(rows)
        vectors = [np.asarray(row, np.float32) for row in rows[:count]]
    else:
        pairs = [vector for _, _, vector in islice(_pairs(spec, path), count + 1)]
        there, vectors = len(pairs), pairs[:count]
    if texts.skipped and (texts.more or there != count):
        raise BadInput(
            f"{path}: {texts.skipped:,} of the texts are empty, and it cannot be told whether they "
            "have vectors there; remove them, and their vectors, or take all texts (--limit)"
        )
    if there < count or (there > count and not texts.more):
        raise BadInput(
            f"{path} has {'more' if there > count else f'only {there:,}'} vectors for "
            f"{count:,} texts; without texts of its own it needs one for each, in the same order"
        )
    for number, vector in enumerate(vectors, 1):
        _checked(vector, f"{path}:{number}", vectors[0])
    # Of a text that is there twice, the first.
    return dict(zip(reversed(texts.texts), reversed(vectors), strict=True))


def _matrix(path: Path) -> NDArray[np.generic]:
    try:
        rows: NDArray[np.generic] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise BadInput(f"{path}: cannot be read as NumPy's .npy ({error})") from None
    if rows.ndim != 2 or rows.dtype.kind != "f":
        raise BadInput(f"{path}: an array of floats with a row for each text is wanted")
    return rows


def _has_texts(spec: Spec, path: Path) -> bool:
    """What `text=` names must be there; without it the file may have vectors only."""
    suffix = path.suffix.lower()
    if suffix not in {".parquet", ".jsonl", ".npy"}:
        raise PlaceError(f"{spec.label}: files of vectors end in .parquet, .jsonl or .npy")
    if not path.is_file():
        raise BadInput(f"{path}: there is no such file")
    if suffix == ".npy":
        return False
    if "text" in spec.options:
        return True
    if suffix == ".parquet":
        return "text" in parquet_source.names(path)
    return "text" in next((record for _, record in _lines(path)), {})


def _pairs(spec: Spec, path: Path) -> Iterator[tuple[str, object, Vector]]:
    """Each row's place, text and vector; the text is None where there is none."""
    name = spec.options.get("vector", "embedding")
    if path.suffix.lower() == ".parquet":
        for place, text, vector in parquet_source.vectors(path, text=_text(spec), vector=name):
            yield place, text, _vector(vector, place, name)
        return
    for place, record in _lines(path):
        if name not in record:
            there = ", ".join(record) or "nothing"
            raise BadInput(f"{place}: no field {name!r}, only {there}; vector= names another")
        yield place, record.get(_text(spec)), _vector(record[name], place, name)


def _lines(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    return Source([str(path)], Fields()).records()


def _text(spec: Spec) -> str:
    return spec.options.get("text", "text")


def _vector(values: object, place: str, name: str) -> Vector:
    try:
        vector: Vector = np.array(values, np.float32)
    except (TypeError, ValueError):
        vector = np.empty((), np.float32)
    if vector.ndim != 1 or not vector.size:
        raise BadInput(f"{place}: {name!r} is not a list of numbers")
    return vector


def _checked(vector: Vector, place: str, first: Vector | None) -> Vector:
    if first is not None and vector.shape != first.shape:
        raise BadInput(f"{place}: {vector.size} numbers, where others have {first.size}")
    if not np.isfinite(vector).all():
        raise BadInput(f"{place}: a vector with a number that is not finite")
    return vector
