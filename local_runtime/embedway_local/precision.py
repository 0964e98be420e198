"""The number formats that a model can be run in, and the one that a choice stands for."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

__all__ = ["FLOOR", "Precision", "PrecisionChoice", "chosen"]

Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]
PrecisionChoice: TypeAlias = Literal["fp32", "bf16", "fp16", "int8", "auto"]

FLOOR: dict[Precision, float] = {"fp32": 0.9999, "fp16": 0.998, "bf16": 0.995, "int8": 0.97}
"""The least cosine with fp32 of any text of the shipped set; a model below it is refused."""


def chosen(choice: PrecisionChoice) -> Precision:
    """
    The precision that is meant; raises `ValueError` for one that is not known.

    "auto" never changes the vector space, and any other format than fp32 would: so it is fp32, on
    every device.
    """
    if choice == "auto":
        return "fp32"
    if choice not in get_args(Precision):
        known = ", ".join(f'"{name}"' for name in get_args(PrecisionChoice))
        raise ValueError(f"precision={choice!r}: {known} are known")
    return choice
