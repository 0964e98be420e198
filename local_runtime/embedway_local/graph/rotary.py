"""Turns queries and keys by their positions (rotary position embeddings)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedway_local.error import ModelCorrupt, ModelUnsupported
from embedway_local.setting import Settings

if TYPE_CHECKING:
    from embedway_local.graph.block import Blocks

__all__ = ["Rotary", "read_rotary", "scaled"]

# Their tables, made before a tensor is looked at, must fit in memory: 128 MiB each. Qwen3-Embedding
# has 40,960 positions with heads of 128.
_MOST_ANGLES = 2**25


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotary:
    """
    One choice of angles: `base` ("theta"), head `size`, and how many positions there are.

    `factor` is the fixed NTK scaling of Alibaba's GTE models, 1 for none
    (https://kexue.fm/archives/9706, equation 6).
    """

    base: float
    size: int
    positions: int
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.positions * self.size > 2 * _MOST_ANGLES:
            raise ModelUnsupported(
                f"{self.positions} positions with heads of {self.size} are not supported"
            )
        if self.size % 2 or self.base <= 0 or self.factor < 1:
            raise ModelCorrupt(
                f"rotary embeddings of size {self.size}, base {self.base}, factor {self.factor}"
            )

    def tables(self, blocks: Blocks) -> tuple[str, str]:
        """Cosines and sines, (length, size / 2); in single precision, as the models learned it."""
        steps = np.arange(0, self.size, 2, dtype=np.float32) / np.float32(self.size)
        rates = np.float32(1) / np.float32(self.base * self.factor) ** steps
        rates /= np.float32(self.factor ** (2 / self.size))
        angles = np.arange(self.positions, dtype=np.float32)[:, None] * rates
        return blocks.until_length(np.cos(angles)), blocks.until_length(np.sin(angles))

    def turn(self, blocks: Blocks, tensor: str, tables: tuple[str, str]) -> str:
        """
        (batch, heads, length, size), turned.

        The first half of a head's numbers is paired with its second half.
        """
        add, (cos, sin) = blocks.graph.add, tables
        left, right = blocks.split(tensor, [self.size // 2, self.size // 2])
        first = add("Sub", add("Mul", left, cos), add("Mul", right, sin))
        second = add("Add", add("Mul", right, cos), add("Mul", left, sin))
        return add("Concat", first, second, axis=-1)


def read_rotary(config: Settings, *, size: int, positions: int, default: float) -> Rotary:
    """
    Read `rope_parameters`, which transformers writes since 5.0, or `rope_theta`.

    Raises `ModelUnsupported` for scaled angles.
    """
    if scaled(config.values.get("rope_scaling")):
        raise ModelUnsupported(f"{config.source}: rope_scaling is not supported")
    stated = config.values.get("rope_parameters")
    if stated is None:
        return Rotary(
            base=config.real("rope_theta", default=default), size=size, positions=positions
        )
    if not isinstance(stated, dict):
        raise ModelCorrupt(f"{config.source}: 'rope_parameters' is not an object")
    if scaled(stated):
        raise ModelUnsupported(f"{config.source}: scaled rope_parameters are not supported")
    inner = Settings(stated, f"{config.source}: rope_parameters")
    if inner.real("partial_rotary_factor", default=1) != 1:
        raise ModelUnsupported(f"{config.source}: a partial rotary factor is not supported")
    return Rotary(base=inner.real("rope_theta", default=default), size=size, positions=positions)


def scaled(stated: object) -> bool:
    """Does a rope setting ask for more than plain angles?"""
    if stated is None:
        return False
    if not isinstance(stated, dict):
        return True
    kind = stated.get("rope_type", stated.get("type", "default"))
    return kind not in ("default", None)
