"""Finds who has a key, by the digest of the whole key."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from embedway_gateway.access.caller import Caller, patterns
from embedway_gateway.access.key import Key
from embedway_gateway.access.secret import digest
from embedway_gateway.quota.meter import counted

__all__ = ["Keyring", "Refused"]


class Refused(Exception):
    """The caller is not let in; the message may be told, and never holds what was sent."""

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason
        """A word for the metrics."""


@dataclass(frozen=True, slots=True)
class _Entry:
    digest: bytes
    caller: Caller
    until: float
    revoked: bool


class Keyring:
    """The keys in use now. `replace` exchanges them all at once."""

    def __init__(self, keys: Iterable[Key] = (), *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._entries: dict[bytes, _Entry] = {}
        self.replace(keys)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"<Keyring of {len(self)} keys>"

    def replace(self, keys: Iterable[Key]) -> None:
        """Take these, and no others."""
        entries: dict[bytes, _Entry] = {}
        for key in keys:
            ends = [moment.timestamp() for moment in (key.until, key.revoked) if moment]
            until = min(ends, default=float("inf"))
            secret = bytes.fromhex(key.sha256)
            entries[secret] = _Entry(secret, _caller(key), until, key.revoked is not None)
        self._entries = entries

    def find(self, secret: bytes) -> Caller:
        """
        Who has this key. Raises `Refused`.

        What can be timed is the look-up of a digest: to learn anything of a key from it takes a
        second key with nearly the same SHA-256.
        """
        digested = digest(secret)
        entry = self._entries.get(digested)
        if entry is None or not hmac.compare_digest(entry.digest, digested):
            raise Refused("Incorrect API key provided.", reason="unknown_key")
        if entry.until <= self._clock():
            if entry.revoked:
                raise Refused("The API key was revoked.", reason="revoked")
            raise Refused("The API key has expired.", reason="expired")
        return entry.caller


def _caller(key: Key) -> Caller:
    meters, seats = counted(f"key:{key.name}", key.allowance)
    return Caller(
        name=key.name,
        label=key.name,
        admin=key.admin,
        pattern=patterns(key.models),
        meters=meters,
        seats=seats,
    )
