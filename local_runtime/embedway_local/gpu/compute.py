"""What every way to run a graph has: token ids in, vectors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Compute"]


class Compute(Protocol):
    """A loaded graph; `run` may be called from many threads at once."""

    @property
    def dimensions(self) -> int: ...

    def run(self, ids: Sequence[Sequence[int]], /) -> NDArray[np.float32]:
        """One vector for each list of token ids; raises `LocalError` where the device fails."""
        ...
