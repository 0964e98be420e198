"""Reads the rows of Parquet files, and keeps the exact types of the columns that go along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.row import Cell, Fields

__all__ = ["count", "names", "records", "vectors"]

# Rows decoded at a time: bounds memory, and is enough for the decoder's pace.
_BATCH = 1024


def count(path: Path) -> int:
    """The number of rows, from the file's own footer."""
    with _file(path) as file:
        rows: int = file.metadata.num_rows
    return rows


def names(path: Path) -> list[str]:
    """The columns."""
    with _file(path) as file:
        found: list[str] = file.schema_arrow.names
    return found


def vectors(path: Path, *, text: str, vector: str) -> Iterator[tuple[str, object, object]]:
    """Each row's place, text (None without such a column) and vector, as Python's or NumPy's."""
    number = 0
    with _file(path) as file:
        there = file.schema_arrow.names
        if vector not in there:
            raise BadInput(
                f"{path}: no column {vector!r}, only {', '.join(there)}; vector= names another"
            )
        wanted = [name for name in (text, vector) if name in there]
        for batch in file.iter_batches(batch_size=_BATCH, columns=wanted):
            texts = batch.column(text).to_pylist() if text in there else [None] * len(batch)
            for one, row in zip(texts, batch.column(vector), strict=True):
                number += 1
                yield f"{path}:{number}", one, _plain(row)


def _plain(scalar: Any) -> object:
    # A list's numbers at once: one by one they take ten times as long.
    values = getattr(scalar, "values", None)
    return scalar.as_py() if values is None else values.to_numpy(zero_copy_only=False)


def records(path: Path, fields: Fields) -> Iterator[tuple[str, Mapping[str, object]]]:
    """
    Each row's place (`file:row`, from 1) and fields; text and id as Python's, others as `Cell`.

    Without `fields.keep` only the columns of text and id are read from the disk.
    """
    number = 0
    with _file(path) as file:
        plain = {fields.text, fields.id}
        names = [name for name in file.schema_arrow.names if fields.keep or name in plain]
        if fields.text not in names:
            raise BadInput(
                f"{path}: no column {fields.text!r}, only {', '.join(file.schema_arrow.names)}; "
                "--text-field names another"
            )
        for batch in file.iter_batches(batch_size=_BATCH, columns=names):
            columns = {
                name: column.to_pylist() if name in plain else _cells(column)
                for name, column in zip(batch.schema.names, batch.columns, strict=True)
            }
            for values in zip(*columns.values(), strict=True):
                number += 1
                yield f"{path}:{number}", dict(zip(columns, values, strict=True))


def _cells(column: Any) -> Iterator[Cell]:
    return (Cell(column, index) for index in range(len(column)))


@contextmanager
def _file(path: Path) -> Iterator[Any]:
    # Imported here: only Parquet needs it, and it costs 0.1 s.
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{path}: cannot be read as Parquet ({error})") from error
