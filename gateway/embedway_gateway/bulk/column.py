"""Finds one Arrow type for a column whose parts were seen one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pyarrow as pa

from embedway_gateway.bulk.row import Cell

__all__ = ["as_column", "conform", "unify"]

# Says that a string column holds JSON text, so that no later part is put in bare.
_JSON = {b"embedway": b"json"}
_INT64 = range(-(2**63), 2**63)


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


def conform(table: Any, schema: Any) -> Any:
    """The table in a schema that `unify` made of its own and others."""
    columns = []
    for field in schema:
        if field.name not in table.schema.names:
            columns.append(pa.nulls(len(table), field.type))
            continue
        column = table.column(field.name)
        if _is_json(field) and not _is_json(table.schema.field(field.name)):
            column = _as_json(column.to_pylist())
        elif column.type != field.type:
            # Unsafe only for integers above 2**53 in a column that elsewhere has fractions.
            column = column.cast(field.type, safe=False)
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
        return pa.float64()
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


def _is_json(field: Any) -> bool:
    return bool((field.metadata or {}).get(b"embedway") == b"json")


def _as_json(values: Sequence[object]) -> Any:
    encode = msgspec.json.Encoder(enc_hook=str).encode
    return pa.array([None if value is None else encode(value).decode() for value in values])
