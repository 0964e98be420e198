"""Frames arrive whole, however the bytes between come."""

from __future__ import annotations

import asyncio
from typing import cast

import numpy as np
import pytest

from embedway_gateway.model_process.frame import Frames, Payload


class Wire:
    """Where bytes go to."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


def connected() -> tuple[Frames, Wire, list[tuple[bytes, Payload]]]:
    received: list[tuple[bytes, Payload]] = []
    frames = Frames(lambda *frame: received.append(frame), lambda: None)
    wire = Wire()
    frames.connection_made(cast("asyncio.Transport", wire))
    return frames, wire, received


def feed(frames: Frames, data: bytes) -> None:
    while data:
        buffer = frames.get_buffer(-1)
        part = data[: len(buffer)]
        buffer[: len(part)] = part
        frames.buffer_updated(len(part))
        data = data[len(part) :]


@pytest.mark.parametrize("step", [1, 7, 4096, 10**9])
def test_what_was_sent_is_received(step: int) -> None:
    numbers = np.random.default_rng(0)
    vectors = [
        numbers.standard_normal((rows, 8), np.float32) for rows in (1, 0, 4000 if step > 7 else 3)
    ]
    sender, wire, _ = connected()
    sender.send(b"nothing more")
    for index, rows in enumerate(vectors):
        sender.send(b"rows %d" % index, rows)
    frames, _, received = connected()
    for start in range(0, len(wire.sent), step):
        feed(frames, bytes(wire.sent[start : start + step]))

    assert [header for header, _ in received] == [b"nothing more", b"rows 0", b"rows 1", b"rows 2"]
    for rows, (_, payload) in zip(vectors, received[1:], strict=True):
        assert np.array_equal(payload.view("<f4").reshape(rows.shape), rows)


@pytest.mark.parametrize("sizes", [(2**26 + 1, 0), (0, 2**30 + 1)])
def test_a_size_beyond_the_bounds_ends_the_connection(sizes: tuple[int, int]) -> None:
    frames, wire, received = connected()
    feed(frames, sizes[0].to_bytes(4, "little") + sizes[1].to_bytes(4, "little") + b"more")

    assert wire.closed
    assert received == []
