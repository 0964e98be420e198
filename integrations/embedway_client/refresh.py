"""Keeps credentials fresh for callers that block: the twin of `Renewal`, for threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from embedway_upstream import Credentials, UpstreamError
from embedway_upstream.credentials.renewal import Rest

__all__ = ["Refresh"]


class Refresh:
    """
    What will expire soon is renewed in a background thread; a caller waits only where nothing
    usable is left. After a refusal one refreshes for all whose calls were signed before.
    """

    def __init__(
        self, credentials: Credentials, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._credentials = credentials
        self.rest = Rest(clock)
        """Where it is told what the call after a renewal came to."""
        self._ahead: threading.Thread | None = None
        self._lock = threading.Lock()
        self.forced = 0
        """How many forced refreshes have ended."""

    def ready(self) -> None:
        """Return when calls can be signed; raises what `refresh` does."""
        if self._credentials.stale():
            self._credentials.refresh()
        elif self._credentials.due():
            self._refresh_ahead()

    def renew(self, seen: int) -> bool:
        """
        After a refusal: refresh, unless that was done since the call was signed, when `forced` was
        `seen`. Whether it is worth calling again; not during a `rest`.
        """
        if self.rest.lasts:
            return False
        with self._lock:
            if self.forced != seen:
                return True
            try:
                return self._credentials.refresh(True)
            finally:
                self.forced += 1

    def _refresh_ahead(self) -> None:
        if self._ahead is None or not self._ahead.is_alive():
            self._ahead = threading.Thread(target=self._refresh_quietly, daemon=True)
            self._ahead.start()

    def _refresh_quietly(self) -> None:
        # What fails is raised again, to somebody who can do something about it, when it is stale.
        with suppress(UpstreamError):
            self._credentials.refresh()
