"""What credentials must answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Credentials"]


class Credentials(Protocol):
    """Authorises a call: `sign` gives the headers to add, without I/O."""

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]: ...
