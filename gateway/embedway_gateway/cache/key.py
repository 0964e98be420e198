"""Names what is cached: a digest of everything that a vector depends on."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["digests"]

# Changed when the same facts come to mean another vector, or are written otherwise.
_FORM = "embedway-cache-2"


def digests(texts: Sequence[str], facts: Sequence[str]) -> list[bytes]:
    """
    Of each text, byte for byte, among the `facts` that all of them share: 32 bytes of SHA-256.

    Whoever is to share nothing with others is one more fact.
    """
    # How many there are, then of each its length: a text, which is the caller's and raw behind
    # them, cannot pass for one more.
    shared = hashlib.sha256(len(facts).to_bytes(4, "big"))
    for fact in (_FORM, *facts):
        data = fact.encode()
        shared.update(len(data).to_bytes(4, "big") + data)
    found = []
    for text in texts:
        # A copy is 0.4 µs; SHA-256 is quicker than BLAKE2 where the processor knows it.
        one = shared.copy()
        one.update(text.encode("utf-8", "surrogatepass"))
        found.append(one.digest())
    return found
