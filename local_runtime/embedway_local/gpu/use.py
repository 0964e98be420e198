"""What a user may choose of how a card is used."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CardUse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CardUse:
    """How a model uses each of its cards; raises `ValueError` for what cannot be."""

    memory: int | None = None
    """Bytes that a call may take, beside the weights; by default 80 % of what is free."""
    capture: bool = True
    """Are short queries answered with CUDA graphs? They hold the weights a second time."""

    def __post_init__(self) -> None:
        if self.memory is not None and self.memory < 1:
            raise ValueError(f"memory={self.memory}: it is a number of bytes")
