"""A reply is the same, however its bytes are cut."""

from __future__ import annotations

import asyncio
import itertools
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedway_gateway.wire.reply import Reply
from embedway_upstream import BadReply, EmbeddingError

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\nx: y\r\n\r\n"
REPLIES = [
    OK + b"content-length: 11\r\n\r\nhello world",
    CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nt: u\r\n\r\n",
    CHUNKED + b"0\r\n\r\n",
    b"HTTP/1.1 100 C\r\nx: no\r\n\r\nHTTP/1.1 103 E\r\n\r\n" + OK + b"content-length: 2\r\n\r\nab",
    b"HTTP/1.0 200 OK\r\nx: y\r\n\r\nuntil the end",
    b"HTTP/1.1 204 N\r\nx: y\r\n\r\n",
    OK + b"content-length: 2\r\nconnection: close\r\n\r\nab",
    OK + b"content-length: 2\r\n\r\nab" + OK + b"content-length: 6\r\nx: no\r\n\r\npoison",
    OK + b"content-length: 2\r\n\r\na",
    CHUNKED + b"5\r\nhelloX\r\n",
    OK + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\nab",
    OK + b"content-length: 200\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 101,
    OK + b"content-length: 0\r\nx: " + b"y" * 66_000 + b"\r\n\r\n",
    CHUNKED + b"33\r\n" + b"x" * 0x33 + b"\r\n33\r\n" + b"x" * 0x33 + b"\r\n0\r\n\r\n",
]


class Socket(asyncio.Transport):
    def is_closing(self) -> bool:
        return False


def outcome(said: bytes, cuts: list[int]) -> tuple[object, ...]:
    """What a reader is told; nothing that comes after a bad piece is fed."""
    edges = [0, *sorted({cut % (len(said) + 1) for cut in cuts}), len(said)]

    async def read() -> tuple[object, ...]:
        reply = Reply(cast("asyncio.Transport", Socket()), "POST", most=100)
        for start, end in itertools.pairwise(edges):
            if start < end and not reply.feed(said[start:end]):
                break
        reply.end(None)
        try:
            await reply.head()
            body = await reply.content()
        except EmbeddingError as error:
            return type(error), error.message
        return reply.status, reply.headers, body, reply.lasting

    return asyncio.run(read())


@pytest.mark.parametrize("said", REPLIES)
@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(0, 300), max_size=12))
def test_cuts_change_nothing(said: bytes, cuts: list[int]) -> None:
    assert outcome(said, []) == outcome(said, cuts)


@pytest.mark.parametrize("said", REPLIES)
def test_single_bytes_change_nothing(said: bytes) -> None:
    assert outcome(said, []) == outcome(said, list(range(len(said))))


def test_what_the_replies_are() -> None:
    """So that equal is not equally wrong."""
    told = [outcome(said, []) for said in REPLIES]
    bodies = [b"hello world", b"hello world", b"", b"ab", b"until the end", b"", b"ab", b"ab"]
    assert bodies == [one[2] for one in told[:8]]
    assert [True, True, True, True, False, True, False, False] == [one[3] for one in told[:8]]
    assert {"transfer-encoding": "chunked", "x": "y"} == told[1][1]
    assert {"content-length": "2"} == told[3][1]
    broken = "the connection to the upstream broke"
    assert [broken, "the upstream does not answer in HTTP/1.1"] == [one[1] for one in told[8:10]]
    assert {BadReply} == {one[0] for one in told[9:]}
