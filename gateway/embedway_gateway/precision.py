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
    # Eight bits of mantissa where fp16 has eleven. Engine local, all-MiniLM-L6-v2: 0.99993 at worst
    # on the 172 shipped texts; deeper models lose more.
    "bf16": 0.995,
    # Measured with all-MiniLM-L6-v2. One scale for a whole tensor, as ONNX Runtime's and others'
    # dynamic quantisation: 0.9929 on average, 0.9799 at worst of 400 passages. Engine local, with
    # a scale for each token: 0.9988 and 0.9963 on the same, 0.9991 and 0.9983 on the shipped
    # texts, 0.9967 at worst on the canaries. It runs no model in int8 that is below this.
    "int8": 0.97,
}
"""The least cosine with the reference, by the less exact of both number formats."""

# Of the loss that was measured with a model: its worst canary lost twice as much as its worst
# shipped text (all-MiniLM-L6-v2 in int8: 0.0033 and 0.0017).
_SLACK = 4


def needed(
    one: Precision,
    other: Precision,
    stated: float | None,
    *,
    measured: tuple[float | None, float | None] = (None, None),
) -> float:
    """
    The least cosine: as stated, else the looser of what both allow.

    A number format allows what its class does. Where the worst cosine of the model in it was
    `measured`, as engine local does, four times that loss is allowed instead, if that is less.
    """
    if stated is not None:
        return stated
    return min(_allowed(one, measured[0]), _allowed(other, measured[1]))


def _allowed(precision: Precision, measured: float | None) -> float:
    if measured is None:
        return AGREEMENT[precision]
    return max(AGREEMENT[precision], 1 - _SLACK * (1 - measured))
