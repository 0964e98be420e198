"""Finds one Arrow type for a column whose parts were seen one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from embedway_gateway.bulk.row import Cell

__all__ = ["as_column", "conform", "safe", "unify"]

# Says that a string column holds JSON text, so that no later part is put in bare.
_JSON = {b"embedway": b"json"}
_INT64 = range(-(2**63), 2**63)
# Beyond these a float64 has no place for every integer.
_EXACT = range(-(2**53), 2**53 + 1)


def as_column(name: str, values: Sequence[object]) -> tuple[Any, Any]:
    """Values as a `pyarrow.Array`, with the field that describes it."""
    cells = [value for value in values if isinstance(value, Cell)]
    if len(cells) == len(values) and len({cell.column.type for cell in cells}) == 1:
        column = pa.concat_arrays([cell.column.slice(cell.index, 1) for cell in cells])
        return pa.field(name, column.type), column
    plain = [value.plain() if isinstance(value, Cell) else value for value in values]
    kind = _type(plain)
    if kind is not None:
        return pa.field(name, kind), pa.array(plain, type=kind)
    if name == "id":
        return pa.field(name, pa.string()), pa.array([str(value) for value in plain])
    return pa.field(name, pa.string(), metadata=_JSON), _as_json(plain)


def unify(schemas: Iterable[Any]) -> Any:
    """The schema whose types hold what every one of `schemas` describes; embedding comes last."""
    fields: dict[str, Any] = {}
    for schema in schemas:
        for field in schema:
            seen = fields.get(field.name)
            fields[field.name] = field if seen is None else _join(seen, field)
    embedding = fields.pop("embedding")
    return pa.schema([*fields.values(), embedding])


def safe(schema: Any, tables: Iterable[Any]) -> Any:
    """
    The schema, with JSON text for each column that it would change a value of: an integer beyond
    2**53 among fractions, a year that nanoseconds do not reach.
    """
    for table in tables:
        for index, field in enumerate(schema):
            if field.name not in table.schema.names or _is_json(field):
                continue
            if not _fits(table.column(field.name), field.type):
                text = pa.field(field.name, pa.string(), metadata=_JSON)
                schema = schema.set(index, text)
    return schema


def conform(table: Any, schema: Any) -> Any:
    """The table in a schema that is `safe` for it."""
    columns = []
    for field in schema:
        if field.name not in table.schema.names:
            columns.append(pa.nulls(len(table), field.type))
            continue
        column = table.column(field.name)
        if _is_json(field) and not _is_json(table.schema.field(field.name)):
            column = _as_json(_plain(column))
        elif column.type != field.type:
            column = column.cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=schema)


def _type(values: Sequence[object]) -> Any | None:
    """The type of JSON's values; None when they have none in common."""
    kinds = {type(value) for value in values if value is not None}
    if not kinds:
        return pa.null()
    if int in kinds and any(isinstance(value, int) and value not in _INT64 for value in values):
        return None
    if kinds == {int, float}:
        exact = all(value in _EXACT for value in values if isinstance(value, int))
        return pa.float64() if exact else None
    names = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    return names.get(kinds.pop()) if len(kinds) == 1 else None


def _join(a: Any, b: Any) -> Any:
    if _is_json(a) or _is_json(b):
        return a if _is_json(a) else b
    if a.type == b.type or pa.types.is_null(b.type):
        return a
    if pa.types.is_null(a.type):
        return b
    if a.name == "id":
        return pa.field("id", pa.string())
    try:
        return pa.unify_schemas(
            [pa.schema([a]), pa.schema([b])], promote_options="permissive"
        ).field(0)
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.field(a.name, pa.string(), metadata=_JSON)


def _fits(column: Any, kind: Any) -> bool:
    try:
        column.cast(kind)
    except pa.ArrowException:
        return False
    return True


def _plain(column: Any) -> list[object]:
    chunk = column.combine_chunks()
    return [Cell(chunk, index).plain() for index in range(len(chunk))]


def _is_json(field: Any) -> bool:
    return bool((field.metadata or {}).get(b"embedway") == b"json")


def _as_json(values: Sequence[object]) -> Any:
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return pa.array([None if value is None else encode(value).decode() for value in values])
