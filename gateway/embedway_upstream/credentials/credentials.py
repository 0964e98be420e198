"""What credentials must answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Credentials"]


class Credentials(Protocol):
    """
    Authorises calls, in two halves: signing, which is pure, and refreshing, which blocks.

    - `sign` gives the headers to add, in lower case; they replace any of the same name. It does
      no I/O and never waits. Of `headers` it trusts nothing but `content-type`.
    - `stale`: nothing that is signed now would be accepted; `refresh` first.
    - `due`: still good, but not for long: `refresh` soon, in the background.
    - `refresh` blocks, for seconds where it asks over a network: call it off the event loop, from
      any thread. It does the work once for all who call at the same time. `force` after a
      refusal: renew what still looks good. True when a call that is signed now may fare better
      than one signed before, false when it would be the same call again. Raises an
      `UpstreamError` when nothing usable is left.
    """

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]: ...
    def stale(self) -> bool: ...
    def due(self) -> bool: ...
    def refresh(self, force: bool = False) -> bool: ...
