"""Writes Parquet: id, the kept columns, and the vectors as fixed_size_list<float32>."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from embedway_gateway.bulk.column import as_column, conform, safe, unify
from embedway_gateway.bulk.row import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Parquet"]

# Large enough for readers, which take a group at a time; writing one takes about six times this.
_GROUP_BYTES = 32 * 1024 * 1024


class Parquet:
    """
    One row a text.

    A kept column of a Parquet input keeps its type. Others are bool, int64, float64 or string;
    one whose values are lists, objects, of several kinds, or would be changed by a type in common,
    is written as JSON text.
    """

    def write(self, path: Path, rows: Sequence[Row], vectors: NDArray[np.float32]) -> None:
        """One part, with the types that its own rows show."""
        names = list(dict.fromkeys(name for row in rows for name in row.kept))
        fields = [as_column("id", [row.id for row in rows])]
        fields += [as_column(name, [row.kept.get(name) for row in rows]) for name in names]
        flat = pa.array(vectors.reshape(-1))
        embedding = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
        schema = [field for field, _ in fields] + [pa.field("embedding", embedding.type)]
        columns = [column for _, column in fields] + [embedding]
        pq.write_table(pa.table(columns, schema=pa.schema(schema)), path, compression="none")

    def merge(self, parts: Sequence[Path], path: Path, about: Mapping[str, str]) -> None:
        """One file, with types that hold every part's values."""
        schema = _schema(parts)
        # Vectors do not repeat; looking for a dictionary in them costs time and finds nothing.
        texts: Any = [name for name in schema.names if name != "embedding"]
        schema = schema.with_metadata({f"embedway.{key}": value for key, value in about.items()})
        with pq.ParquetWriter(path, schema, use_dictionary=texts) as writer:
            for group in _groups(conform(pq.read_table(part), schema) for part in parts):
                writer.write_table(group)


def _schema(parts: Sequence[Path]) -> Any:
    """Types that hold every part's values, as they are."""
    schema = unify(pq.read_schema(part) for part in parts)
    return safe(schema, _turned(parts, schema))


def _turned(parts: Sequence[Path], schema: Any) -> Iterator[Any]:
    """Of each part the columns, if any, that would get another type."""
    for part in parts:
        own = pq.read_schema(part)
        if names := [name for name in own.names if own.field(name).type != schema.field(name).type]:
            yield pq.read_table(part, columns=names)


def _groups(tables: Iterator[Any]) -> Iterator[Any]:
    waiting: list[Any] = []
    size = 0
    for table in tables:
        waiting.append(table)
        size += table.nbytes
        if size >= _GROUP_BYTES:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting, size = [], 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
