"""What came of comparing an upstream's vectors with the model's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_gateway.layers.agreement import Agreement, difference

if TYPE_CHECKING:
    from embedway_gateway.layers.mark import Mark

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of comparing an upstream with the reference."""

    reference: str
    found: Agreement
    least: float
    mark: Mark
    """Of the space that it was compared with."""

    @property
    def same(self) -> bool:
        """Whether the upstream is in the space."""
        return self.found.same(self.least)

    @property
    def reason(self) -> str:
        """Why it is not, as a sentence; empty where it is."""
        if self.same:
            return ""
        return (
            f"its vectors differ from those of {self.reference!r}: "
            f"{difference(self.found, self.least)}"
        )
