"""How exactly an upstream's vectors must agree with the model's, by their number formats."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["AGREEMENT", "Precision", "needed"]

Precision: TypeAlias = Literal["fp32", "fp16", "bf16", "int8"]

AGREEMENT: dict[Precision, float] = {
    # Between engines and machines 1 - 1e-12 was measured; half precision that nobody stated has
    # its place below that (1 - 1e-6 for all-MiniLM-L6-v2), another pooling has not.
    "fp32": 0.999,
    # Deep models lose up to 1e-3 between graphs and kernels.
    "fp16": 0.998,
    # Eight bits of mantissa where fp16 has eleven.
    "bf16": 0.995,
    # Dynamic quantisation leaves 0.98 to 0.99.
    "int8": 0.97,
}
"""The least cosine with the reference, by the less exact of both number formats."""


def needed(one: Precision, other: Precision, stated: float | None) -> float:
    """The least cosine: as stated, else the looser of what both number formats allow."""
    return min(AGREEMENT[one], AGREEMENT[other]) if stated is None else stated
