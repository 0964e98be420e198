"""Signs calls to OCI, and keeps what it signs with fresh."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, NoReturn

from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.flight import Flights
from embedway_upstream.credentials.key import fingerprint_of
from embedway_upstream.credentials.renewed import Told, untold
from embedway_upstream.credentials.signature import sign

if TYPE_CHECKING:
    from embedway_upstream.credentials.snapshot import Snapshot, Source

__all__ = ["OCISignature"]

_log = logging.getLogger("embedway.upstream")

# A token that expires on the way is refused: this share of what it is renewed ahead, 60 s at most,
# is left for it.
_MARGIN_SHARE = 0.2
# Credentials that stay wrong must not turn every request into a refresh.
_PAUSE_SECONDS = 1.0


class OCISignature:
    """
    Credentials over a source of snapshots. May be shared by any number of upstreams, threads and
    event loops: `sign` reads one reference, and takes no lock.

    Nothing is read and nothing asked before the first `refresh`. `clock` tells what dates and
    expiry are held against; pauses are measured with `elapsed`, for the clock may be set.
    """

    def __init__(
        self,
        source: Source,
        *,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._clock = clock
        self._elapsed = elapsed
        self._held: Snapshot | None = None
        self._renew_at = float("inf")  # By the clock; the others are elapsed.
        self._look_at = self._rests_until = float("-inf")
        self._lock = threading.Lock()
        self._flight: _Flight | None = None
        self._failure: CredentialsError | None = None
        self._failed_at = self._forced_at = float("-inf")
        self.refreshes = 0
        """How often the source was asked."""
        self.told: Told = untold
        self.flights = Flights()

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """The headers, dated now. Raises `CredentialsError` before the first refresh."""
        held = self._held
        if held is None:
            raise CredentialsError("the OCI credentials were not loaded; refresh() comes first")
        return sign(
            held,
            method,
            url,
            body,
            content_type=headers.get("content-type", "application/json"),
            date=formatdate(self._clock(), usegmt=True),
        )

    def stale(self) -> bool:
        """Whether there is no snapshot, or it expires before a call would arrive."""
        held = self._held
        if held is None:
            return True
        if held.expires_at is None:
            return False
        return self._clock() >= held.expires_at - held.ahead * _MARGIN_SHARE

    def due(self) -> bool:
        """
        Whether less than a tenth of its life, or 300 s, is left, or it is time to look for a newer
        one; not while that is being done.
        """
        return self._flight is None and self._is_time()

    def refresh(self, force: bool = False) -> bool:
        """
        Ask the source when it is due, once for all who call. What failed, or was forced, is not
        done again within a second. Always true: a signature made now has a new date.
        """
        with self._lock:
            before = self._flight
            mine = None
            if before is None or (force and not before.forced):
                mine = self._flight = _Flight(force)
        if before is not None:
            before.done.wait()
            if mine is None and before.failure is not None:
                raise before.failure.again()
        if mine is not None:
            self._fly(mine)
        return True

    def _fly(self, flight: _Flight) -> None:
        try:
            self._ask(flight.forced)
        except CredentialsError as error:
            flight.failure = error
            raise
        finally:
            with self._lock:
                if self._flight is flight:
                    self._flight = None
            flight.done.set()

    def _ask(self, force: bool) -> None:
        now, over = self._elapsed(), self.stale()
        if self._failure is not None and now - self._failed_at < _PAUSE_SECONDS:
            if over:
                raise self._failure.again()
            return
        if not force and not over and not self._is_time():
            # Somebody else was quicker.
            return
        if force and not over:
            if now - self._forced_at < _PAUSE_SECONDS:
                # Renewed a moment ago; the caller signs again, with a new date.
                return
            self._forced_at = now
        self.refreshes += 1
        try:
            held = self._source.take(self._held, force=force)
        except CredentialsError as error:
            self._failure, self._failed_at = error, self._elapsed()
            self._look_at = self._rests_until = self._failed_at + _PAUSE_SECONDS
            self.told(False)
            if force or self.stale():
                raise
            _log.warning("the OCI credentials could not be renewed yet: %s", error)
            return
        self._failure = None
        self._held = held
        self._plan(held)
        self.told(True)

    def _is_time(self) -> bool:
        now = self._elapsed()
        return now >= self._rests_until and (
            now >= self._look_at or self._clock() >= self._renew_at
        )

    def _plan(self, held: Snapshot) -> None:
        now, watch = self._elapsed(), self._source.watch
        self._look_at = float("inf") if watch is None else now + watch
        self._renew_at, self._rests_until = float("inf"), now
        if held.expires_at is not None:
            self._renew_at = held.expires_at - held.ahead
            # A source that has nothing newer yet is asked again, but not by every request.
            self._rests_until = now + min(_PAUSE_SECONDS, held.ahead / 2)

    def doubt(self) -> str:
        """
        What a refusal may come from though the key could be read; empty where nothing is seen.
        Session keys have tokens instead of fingerprints.
        """
        held = self._held
        if held is None or held.key_id.startswith("ST$"):
            return ""
        real = fingerprint_of(held.key)
        if held.key_id.rpartition("/")[2].lower() == real:
            return ""
        return f"the fingerprint in the configuration is not the private key's, which is {real}"

    def __repr__(self) -> str:
        return f"OCISignature({self._source!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")


class _Flight:
    """One refresh in progress, and what became of it."""

    def __init__(self, forced: bool) -> None:
        self.forced = forced
        self.done = threading.Event()
        self.failure: CredentialsError | None = None
