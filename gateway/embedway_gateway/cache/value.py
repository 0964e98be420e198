"""What is cached of a text, as bytes."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

__all__ = ["Known", "pack", "seal", "unpack", "unseal"]

_HEAD = struct.Struct("<I?3x")
# Beyond what any text has.
_MOST_TOKENS = 2**32 - 1
_VERSION = b"\x01"
_KEY = 32
_SUM = struct.Struct("<I")


class Known(NamedTuple):
    """A text that was embedded before."""

    tokens: int
    estimated: bool
    """Whether `tokens` was a share of several texts' count, or a guess."""
    vector: bytes
    """float32, little-endian."""


def pack(known: Known) -> bytes:
    """As bytes, which the garbage collector need not look into."""
    return _HEAD.pack(min(known.tokens, _MOST_TOKENS), known.estimated) + known.vector


def unpack(value: bytes) -> Known:
    """What `pack` made the value of."""
    tokens, estimated = _HEAD.unpack_from(value)
    return Known(tokens, estimated, value[_HEAD.size :])


def seal(key: bytes, value: bytes) -> bytes:
    """
    For where others may write: with a version, the key and a checksum.

    The key, because a connection that lost its step would hand out the vector of another text.
    """
    whole = key + value
    return _VERSION + _SUM.pack(zlib.crc32(whole)) + whole


def unseal(key: bytes, sealed: object) -> bytes | None:
    """The value, or None where this is nothing that was sealed under the key."""
    head = len(_VERSION) + _SUM.size
    if not isinstance(sealed, bytes) or len(sealed) < head + _KEY or sealed[:1] != _VERSION:
        return None
    whole = sealed[head:]
    if whole[:_KEY] != key or _SUM.pack(zlib.crc32(whole)) != sealed[1:head]:
        return None
    return whole[_KEY:]
