"""Keeps what must be alone on a card apart from everything else that this process does there."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedway_local.gpu.compute import Compute

__all__ = ["CAPTURES", "Shared", "Turns"]


class Turns:
    """
    Many at once, or one alone, who goes first when both wait. Not to be nested in a thread.

    Where one of the many is slow, the others go on meanwhile, and who wants to be alone waits.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everyone: for a forked child, where they do not exist."""
        self._changed = threading.Condition()
        self._sharing = self._slow = self._waiting = 0
        self._taken = False

    @contextmanager
    def shared(self, *, slow: bool = False) -> Iterator[None]:
        """Beside others, but beside nobody who is alone; `slow` takes seconds or more."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._taken and (bool(self._slow) or not self._waiting)
            )
            self._sharing += 1
            self._slow += slow
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._slow -= slow
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Beside nobody."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._taken and not self._sharing)
                self._taken = True
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


# ONNX Runtime captures with cudaStreamCaptureModeGlobal: until it ends, whatever allocates, copies
# or waits in any thread of the process fails, on any card, and breaks the capture.
CAPTURES = Turns()
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=CAPTURES.reset)


class Shared:
    """A graph that runs on a card, but never while another one is captured."""

    def __init__(self, inner: Compute) -> None:
        self._inner = inner
        self.dimensions: int = inner.dimensions

    def run(self, ids: Sequence[Sequence[int]], /) -> NDArray[np.float32]:
        """One vector for each list of token ids."""
        with CAPTURES.shared():
            return self._inner.run(ids)
