"""Cuts the bytes between a worker and the model process into frames: a header, and raw numbers."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_HEADER", "Frames", "Payload"]

Payload: TypeAlias = NDArray[np.uint8]

MOST_HEADER = 64 * 2**20
"""Bytes of a header, which holds a call's texts."""
# Vectors of 4,096 dimensions for 65,536 texts.
_MOST_PAYLOAD = 2**30

_SIZES = struct.Struct("<II")
_SCRATCH = 64 * 1024


class Frames(asyncio.BufferedProtocol):
    """
    Two lengths, little-endian (4 bytes each), then the header and the payload. A long payload is
    received where it stays, without a copy.

    `received` gets each frame, `lost` is called once, when the connection ends; a peer that states
    a size beyond the bounds is hung up on.
    """

    def __init__(
        self, received: Callable[[bytes, Payload], None], lost: Callable[[], None]
    ) -> None:
        self._received = received
        self._lost = lost
        self._transport: asyncio.WriteTransport | None = None
        self._scratch = memoryview(bytearray(_SCRATCH))
        self._pending = bytearray()
        self._header = b""
        self._payload: Payload | None = None
        self._filled = 0

    def send(self, header: bytes, payload: NDArray[np.float32] | None = None) -> None:
        """Send a frame; nothing happens where the connection has ended."""
        if self._transport is None or self._transport.is_closing():
            return
        size = 0 if payload is None else payload.nbytes
        begin = _SIZES.pack(len(header), size) + header
        if payload is None or not size:
            self._transport.write(begin)
            return
        numbers = np.ascontiguousarray(payload, dtype="<f4").data.cast("B")
        if size < _SCRATCH:
            self._transport.write(begin + numbers)
            return
        self._transport.write(begin)
        self._transport.write(numbers)

    def close(self) -> None:
        """End the connection, after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of asyncio's protocol."""
        # uvloop's are not of asyncio's classes.
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of asyncio's protocol."""
        self._lost()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Part of asyncio's protocol."""
        if self._payload is None:
            return self._scratch
        return self._payload.data[self._filled :]

    def buffer_updated(self, nbytes: int) -> None:
        """Part of asyncio's protocol."""
        if self._payload is None:
            self._pending += self._scratch[:nbytes]
            self._cut()
            return
        self._filled += nbytes
        if self._filled == len(self._payload):
            self._finish(self._header, self._payload)
            self._cut()

    def _cut(self) -> None:
        """Give on all frames that are whole, and begin with the payload of the next."""
        while self._payload is None and len(self._pending) >= _SIZES.size:
            header, size = _SIZES.unpack_from(self._pending)
            if header > MOST_HEADER or size > _MOST_PAYLOAD:
                self._pending.clear()
                self.close()
                return
            end = _SIZES.size + header
            if len(self._pending) < end:
                return
            self._header = bytes(self._pending[_SIZES.size : end])
            payload: Payload = np.empty(size, np.uint8)
            here = self._pending[end : end + size]
            payload[: len(here)] = here
            del self._pending[: end + len(here)]
            self._payload, self._filled = payload, len(here)
            if self._filled == size:
                self._finish(self._header, payload)

    def _finish(self, header: bytes, payload: Payload) -> None:
        self._payload, self._header = None, b""
        self._received(header, payload)
