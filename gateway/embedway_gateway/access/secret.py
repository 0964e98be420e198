"""What an API key looks like, and what is kept of it."""

from __future__ import annotations

import hashlib
import secrets
import zlib
from collections.abc import Callable

__all__ = ["PREFIX", "digest", "make_secret", "well_formed"]

PREFIX = "ew-"
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# 62**43 is more than 2**256, and 62**6 more than 2**32.
_RANDOM, _CHECK = 43, 6


def make_secret(chance: Callable[[int], int] = secrets.randbits) -> str:
    """
    A new key: `ew-`, 256 random bits in letters and digits, and a checksum, by which whoever looks
    for leaked keys knows one of ours from any other word.
    """
    random = _word(chance(256), _RANDOM)
    return f"{PREFIX}{random}{_check(random)}"


def well_formed(secret: str) -> bool:
    """Whether it can be a key at all: its form and checksum are right."""
    body = secret.removeprefix(PREFIX)
    if body == secret or len(body) != _RANDOM + _CHECK or not body.isascii():
        return False
    return body.isalnum() and _check(body[:_RANDOM]) == body[_RANDOM:]


def digest(secret: bytes) -> bytes:
    """What is kept of it, 32 bytes. Unsalted: 256 random bits cannot be guessed from a list."""
    return hashlib.sha256(secret).digest()


def _check(random: str) -> str:
    return _word(zlib.crc32(random.encode()), _CHECK)


def _word(number: int, length: int) -> str:
    letters = []
    for _ in range(length):
        number, rest = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[rest])
    return "".join(reversed(letters))
