"""Remembers which vector space a server's vectors are in, and notices when it changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from embedway_client.error import VectorSpaceChanged

__all__ = ["Known", "Space"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a space; None is not known."""

    fingerprint: str | None = None
    dimensions: int | None = None


class Space:
    """
    Learns from every reply. Safe to use from several threads.

    `accept_change` takes every new space as the right one instead of raising.
    """

    def __init__(self, known: Known, *, accept_change: bool) -> None:
        self._known = known
        self._accept_change = accept_change
        self._lock = threading.Lock()

    @property
    def known(self) -> Known:
        """What was learned or configured so far."""
        return self._known

    def see(self, fingerprint: str | None, dimensions: int) -> None:
        """Compare a reply's space with the known one; raises `VectorSpaceChanged`."""
        with self._lock:
            known = self._known
            if not self._accept_change:
                if fingerprint and known.fingerprint and fingerprint != known.fingerprint:
                    raise _changed(known.fingerprint, fingerprint)
                if known.dimensions is not None and dimensions != known.dimensions:
                    raise _changed(f"{known.dimensions} dimensions", f"{dimensions} dimensions")
            self._known = Known(fingerprint or known.fingerprint, dimensions)


def _changed(was: str, now: str) -> VectorSpaceChanged:
    return VectorSpaceChanged(
        f"the vectors are in another space: {was} was expected, {now} came. They cannot be "
        "compared with those embedded before; embed these again, with a new client"
    )
