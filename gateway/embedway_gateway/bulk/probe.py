"""Does a server that does not tell its vector space still have the model that it had?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from embedway_gateway.bulk.error import BadVectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedway_gateway.bulk.encoder import Encoder
    from embedway_gateway.bulk.parts import Parts

__all__ = ["Probe"]

_TEXT = "The harbour office closes at noon, and opens again at two."
# Of the vector's length. Half precision and batches leave 0.01; a prompt or a pooling more than
# this, which is a cosine of 0.99 at equal lengths.
_APART = 0.15


class Probe:
    """
    Embeds one text beside those of the input, once a run, and compares its vector with the one
    that is kept in the manifest.
    """

    def __init__(self, parts: Parts, encoder: Encoder) -> None:
        self._parts = parts
        self._encoder = encoder
        self._seen = False

    def require_same(self, told: str | None) -> None:
        """
        Before a chunk in the space that was `told` is kept beside others: raises `BadVectors`
        where it cannot be seen that it belongs there, and what the encoder does.
        """
        known = self._parts.manifest
        if self._seen or (told is not None and known.vector_space is not None):
            return
        if known.vector_space is not None and known.probe is None:
            raise BadVectors(
                f"the server does not tell its vector space, but the finished parts are in "
                f"{known.vector_space}: give the --base-url it was begun with, wait until that "
                "tells its space again, or begin anew with --overwrite"
            )
        if told is not None and known.width is None:
            return
        self._look(known.probe)

    def _look(self, kept: list[float] | None) -> None:
        known = self._parts.manifest
        vectors = self._encoder.encode([_TEXT], input_type=known.input_type).vectors
        found = vectors[0]
        if kept is None:
            self._parts.note(msgspec.structs.replace(known, probe=found.tolist()))
        elif not _alike(np.array(kept, np.float32), found):
            raise BadVectors(
                "the model now gives another vector for the same text than when the finished parts "
                "were made; find out what was changed behind the model's name or --base-url, or "
                "begin anew with --overwrite"
            )
        self._seen = True


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    if one.shape != other.shape:
        return False
    return bool(np.linalg.norm(one - other) <= _APART * np.linalg.norm(one))
