"""Remembers which vector space a server's vectors are in, and notices when it changes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_client.error import VectorSpaceChanged

if TYPE_CHECKING:
    from embedway_client.embedding import EmbeddingResult

__all__ = ["Known", "Space", "mixed"]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a space; None is not known."""

    fingerprint: str | None = None
    dimensions: int | None = None


class Space:
    """
    Learns from the first reply, and holds every later one against it. Safe to use from several
    threads.

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

    def accept(self, fingerprint: str | None) -> None:
        """Expect this space from now on; None is whichever the next reply is in."""
        with self._lock:
            self._known = Known(fingerprint)

    def see(self, fingerprint: str | None, dimensions: int) -> None:
        """Compare a reply's space with the known one; raises `VectorSpaceChanged`."""
        with self._lock:
            known = self._known
            if not self._accept_change:
                if fingerprint and known.fingerprint and fingerprint != known.fingerprint:
                    raise _changed(known.fingerprint, fingerprint)
                if known.dimensions is not None and dimensions != known.dimensions:
                    raise _resized(known.dimensions, dimensions)
            # Of another size, vectors are in another space, whether that is told or not.
            same = known.dimensions in {None, dimensions}
            self._known = Known(fingerprint or (known.fingerprint if same else None), dimensions)

    def seen(self, result: EmbeddingResult) -> EmbeddingResult:
        """The result; raises like `see`."""
        self.see(result.vector_space, result.vectors.shape[1])
        return result


def mixed(one: str, other: str) -> VectorSpaceChanged:
    """For vectors of one call that are of two spaces."""
    return VectorSpaceChanged(
        f"the vector space changed from {one} to {other} while the texts were embedded; embed them "
        "again"
    )


def _changed(was: str, now: str) -> VectorSpaceChanged:
    return VectorSpaceChanged(
        f"the vectors are in another space: {was} was expected, {now} came. They cannot be "
        "compared with those of an index that was made before: searches in it would find the "
        "wrong texts. Embed what it holds again, into a new index, and accept the new space, with "
        f'accept_vector_space("{now}") or vector_space="{now}"; or have the former model served '
        "again"
    )


def _resized(was: int, now: int) -> VectorSpaceChanged:
    return VectorSpaceChanged(
        f"the vectors are in another space: {was} dimensions was expected, {now} dimensions came. "
        "They cannot be compared with those of an index that was made before. Embed what it holds "
        "again, into a new index, and accept the new space, with accept_vector_space(); or have "
        "the former model served again"
    )
