"""Agrees with all who share a store on the name under which a vector space is cached."""

from __future__ import annotations

import hashlib
import logging
import secrets
import struct
from collections.abc import Callable

import numpy as np

from embedway_gateway.cache.store import Notes, Unavailable
from embedway_gateway.cache.value import seal, unseal
from embedway_gateway.layers.agreement import agreement
from embedway_gateway.layers.canary import CANARIES, SHORT, Canaries

__all__ = ["Ledger"]

_log = logging.getLogger("embedway.gateway")

_HEAD = struct.Struct("<32sHI")
# Others may be as quick; each time one of them gets its way.
_TRIES = 4


class Ledger:
    """
    A fingerprint that is only declared stays the same when another model is deployed behind it, and
    a store may outlive whoever would have noticed. So the model's canary vectors are kept beside
    the entries, and a model that does not match them begins anew, under a name that nobody ever
    had: what the former one left is not read again, not even when it comes back, because in the
    minutes before the change was noticed its name was used for vectors of both.
    """

    def __init__(
        self,
        notes: Notes,
        *,
        threshold: float = 0.999,
        name: Callable[[], str] = lambda: secrets.token_hex(16),
    ) -> None:
        self._notes = notes
        self._threshold = threshold
        self._name = name
        self._texts = "\0".join(CANARIES)

    async def settle(self, space: str, canaries: Canaries, *, renew: bool = False) -> str:
        """
        The name for entries of the fingerprint `space`, whose model embeds the canaries like this.
        `renew`: what was stored cannot be trusted. Raises `Unavailable`.
        """
        key = hashlib.sha256(f"embedway-space\0{space}\0{self._texts}".encode()).digest()
        for _ in range(_TRIES):
            old = await self._notes.read(key)
            known = _read(key, old)
            if known is not None and not renew and self._agree(known[1], canaries):
                return known[0]
            name = self._name()
            if await self._notes.exchange(key, old, _write(key, name, canaries)):
                if known is not None:
                    _log.warning("what was cached for %s is another model's: beginning anew", space)
                return name
            # Whoever was quicker began anew, too.
            renew = False
        raise Unavailable

    def _agree(self, one: Canaries, other: Canaries) -> bool:
        # Longer texts may be refused, and that may change.
        both = one.keys() & other.keys()
        whole = all(number in both for number in range(SHORT))
        return whole and agreement(one, other).same(self._threshold)


def _write(key: bytes, name: str, canaries: Canaries) -> bytes:
    numbers = sorted(canaries)
    rows = np.stack([canaries[number] for number in numbers]).astype("<f4")
    head = _HEAD.pack(name.encode(), len(numbers), rows.shape[1])
    return seal(key, head + np.array(numbers, "<u2").tobytes() + rows.tobytes())


def _read(key: bytes, note: bytes | None) -> tuple[str, Canaries] | None:
    value = unseal(key, note)
    if value is None or len(value) < _HEAD.size:
        return None
    name, count, size = _HEAD.unpack_from(value)
    begin = _HEAD.size + 2 * count
    if len(value) != begin + 4 * count * size:
        return None
    numbers = np.frombuffer(value, "<u2", count, _HEAD.size)
    rows = np.frombuffer(value, "<f4", offset=begin).reshape(count, size)
    return name.decode(), {int(number): row for number, row in zip(numbers, rows, strict=True)}
