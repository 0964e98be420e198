"""A text on its way through: where it came from, its id, and the columns that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Cell", "Fields", "Row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """Which fields of the input matter."""

    text: str = "text"
    id: str | None = None
    """None: rows are numbered through all inputs, from 0."""
    keep: bool = False
    """Carry the text and all other fields into the output."""
    skip_empty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One text to embed."""

    place: str
    """Where it stands, as `file:line`."""
    id: int | str
    text: str
    kept: Mapping[str, object] = field(default_factory=dict)
    """What goes beside the vector: JSON's values, or `Cell`."""


class Cell:
    """A value of a Parquet column that keeps its exact type until it is written."""

    # Not a dataclass: JSON encoders would write those as objects, and never ask `plain`.
    __slots__ = ("column", "index")

    def __init__(self, column: Any, index: int) -> None:
        self.column = column  # a pyarrow.Array: no types, and perhaps not installed
        self.index = index

    def plain(self) -> object:
        """The value as Python's nearest; a string where Python has none, as for nanoseconds."""
        scalar = self.column[self.index]
        try:
            value: object = scalar.as_py()
        except ValueError:
            return _text(scalar)
        # Pandas', which Arrow gives instead of that error where it is installed.
        return _text(scalar) if type(value).__module__.startswith("pandas.") else value


def _text(scalar: Any) -> str:
    return str(scalar.cast("string").as_py())
