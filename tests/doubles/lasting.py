"""A fault that lasts until it is cleared, where a stand-in takes one a request from a deque."""

from __future__ import annotations

from collections import deque
from typing import Any

__all__ = ["Lasting"]


class Lasting(deque[Any]):
    """Gives the same fault for ever; `clear` ends it."""

    def popleft(self) -> Any:
        return self[0]
