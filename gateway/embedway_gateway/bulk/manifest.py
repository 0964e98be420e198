"""What an unfinished output is made of, so that a later run can tell whether it may go on."""

from __future__ import annotations

from typing import Literal

import msgspec

from embedway_gateway.bulk.encoder import InputType
from embedway_gateway.bulk.error import PartsDiffer

__all__ = ["FORMAT", "Manifest"]

# Raised when parts of an older version of this package can no longer be gone on with.
FORMAT = 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    The options that decide what a part holds.

    The input is not named: each part digests its rows, which also allows an input to be corrected
    behind the last part.
    """

    format: int = FORMAT
    model: str
    input_type: InputType
    dimensions: int | None
    """As asked for; None: the model's own."""
    batch_size: int
    text_field: str
    id_field: str | None
    keep: bool
    precision: Literal["fp32", "bf16", "fp16", "int8"] = "fp32"
    """In this process; a gateway decides for itself."""
    vector_space: str | None = None
    """Of the vectors, once some have come and it is known."""
    width: int | None = None
    """Numbers in a vector, once some have come."""
    probe: list[float] | None = None
    """The vector of a test text, where the vector space was not told."""

    def require_same(self, wanted: Manifest, parts: str) -> None:
        """Raises `PartsDiffer`, with each difference, when `wanted` asks for something else."""
        names = [name for name in self.__struct_fields__ if name not in _SEEN]
        pairs = [(name, getattr(self, name), getattr(wanted, name)) for name in names]
        differences = [
            f"  {_OPTIONS.get(name, name)}: {_text(mine)} then, {_text(theirs)} now"
            for name, mine, theirs in pairs
            if mine != theirs
        ]
        if differences:
            raise PartsDiffer(
                f"{parts} was begun with other options:\n"
                + "\n".join(differences)
                + "\nRun again with the options it was begun with, or begin anew with --overwrite."
            )


# What shows only when vectors come.
_SEEN = ("vector_space", "width", "probe")

_OPTIONS = {
    "model": "--model",
    "input_type": "--input-type",
    "dimensions": "--dimensions",
    "batch_size": "--batch-size",
    "text_field": "--text-field",
    "id_field": "--id-field",
    "keep": "--keep",
    "precision": "--precision",
    "format": "format of the parts",
}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "given" if value else "not given"
    return "not given" if value is None else str(value)
