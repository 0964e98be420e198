"""Refreshes in threads of their own, one at a time for all who wait for the same credentials."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from embedway_upstream.error import EmbeddingError

if TYPE_CHECKING:
    from embedway_upstream.credentials.credentials import Credentials

__all__ = ["Flights", "Shared"]


class Flights:
    """
    Of one credentials object: whoever asks while a refresh is under way, on whatever event loop,
    shares it. A refresh that hangs takes one thread, none of an executor's, and holds up no exit.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flying: dict[bool, Future[bool]] = {}
        self.forced = 0
        """How many forced refreshes have ended."""
        self.outcome: bool | EmbeddingError = True
        """What came of the last of them; an error is raised as a copy only."""

    def begin(self, credentials: Credentials, *, force: bool) -> Future[bool]:
        """What will be the outcome of the refresh under way, or of one that is begun now."""
        with self._lock:
            future = self._flying.get(force)
            if future is None:
                future = Future()
                # From here on nobody who gives up waiting can cancel it for the others.
                future.set_running_or_notify_cancel()
                threading.Thread(
                    target=self._fly, args=(credentials, future, force), daemon=True
                ).start()
                self._flying[force] = future
        return future

    def _fly(self, credentials: Credentials, future: Future[bool], force: bool) -> None:
        outcome: bool | BaseException
        try:
            outcome = credentials.refresh(force)
        # The last resort: whoever waits would wait for ever.
        except BaseException as error:  # noqa: BLE001
            outcome = error
        with self._lock:
            del self._flying[force]
            if force:
                self.outcome = outcome if isinstance(outcome, bool | EmbeddingError) else False
                self.forced += 1
        if isinstance(outcome, bool):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


@runtime_checkable
class Shared(Protocol):
    """Credentials that know their refreshes under way, so that all who use them share those."""

    flights: Flights
