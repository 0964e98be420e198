"""What every transport does with the replies that servers give."""

from __future__ import annotations

import asyncio
import socket

import pytest

from doubles.serving import free_port
from doubles.speaker import answering, read_request, reply, speaking
from embedway_gateway.wire import Carrier
from embedway_upstream import BadReply, HTTPCall, UpstreamUnreachable

CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5;note=1\r\nhello\r\n6\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n"
)


def post(url: str, body: bytes = b"{}", path: str = "/v1/embeddings") -> HTTPCall:
    return HTTPCall("POST", url + path, {"content-type": "application/json"}, body)


@pytest.mark.parametrize(
    ("said", "status", "body"),
    [
        (reply(b"hello world"), 200, b"hello world"),
        (reply(b""), 200, b""),
        (CHUNKED, 200, b"hello world"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0\r\n\r\n", 200, b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + reply(b"after"), 200, b"after"),
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + reply(b"after"), 200, b"after"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", 304, b""),
        (reply(b"no", status="429 Too Many Requests"), 429, b"no"),
        (reply(b"", status="307 T", more="location: http://127.0.0.1:9/\r\n"), 307, b""),
        (b"HTTP/1.1 200 OK\r\nx-empty:\r\ncontent-length: 1\r\n\r\na", 200, b"a"),
        (b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na", 200, b"a"),
    ],
)
async def test_replies_are_read_and_their_connection_is_kept(
    carrier: Carrier, said: bytes, status: int, body: bytes
) -> None:
    async with speaking(answering(said, said)) as server:
        for _ in range(2):
            answer = await carrier.send(post(server.url))
            assert (status, body) == (answer.status, answer.body)
        assert 1 == server.opened


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello",
    ],
)
async def test_replies_that_end_a_connection(carrier: Carrier, said: bytes) -> None:
    async with speaking(answering(said, hang_up=True)) as server:
        for _ in range(2):
            assert b"hello" == (await carrier.send(post(server.url))).body
        await server.all_closed()
        assert 2 == server.opened


async def test_a_head_has_no_body(carrier: Carrier) -> None:
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
    async with speaking(answering(said, said)) as server:
        for _ in range(2):
            answer = await carrier.send(HTTPCall("HEAD", server.url + "/", {}, b""))
            assert (200, b"", "5") == (answer.status, answer.body, answer.headers["content-length"])


async def test_names_of_headers_are_in_lower_case(carrier: Carrier) -> None:
    async with speaking(answering(reply(more="X-Request-ID: AbC\r\n"))) as server:
        answer = await carrier.send(post(server.url))

    assert "AbC" == answer.headers["x-request-id"]


async def test_what_was_signed_is_what_is_sent(carrier: Carrier) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            heads.append(request[0])
            writer.write(reply())

    path = "/20180401/a%2fb%20c/d'e!(f)*?q=%41+b&x=/?"
    async with speaking(talk) as server:
        headers = {"host": "signed.example:443", "content-length": "2", "authorization": "Sig x"}
        await carrier.send(HTTPCall("POST", server.url + path, headers, b"{}"))

    lines = heads[0].split(b"\r\n")
    assert b"POST " + path.encode() + b" HTTP/1.1" == lines[0]
    for line in (b"host: signed.example:443", b"content-length: 2", b"authorization: Sig x"):
        assert 1 == [
            one.replace(one.split(b":")[0], one.split(b":")[0].lower()) for one in lines if one
        ].count(line)


@pytest.mark.parametrize("sized", [True, False])
async def test_large_replies_are_refused_while_they_are_read(carrier: Carrier, sized: bool) -> None:
    head = b"content-length: 200000\r\n" if sized else b"connection: close\r\n"

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n")
        # The sized one never comes to an end, and need not.
        writer.write(b"a" * 50_000)
        while not sized:
            writer.write(b"a" * 1000)
            await writer.drain()
        writer.write(b"a" * 50_001)
        await reader.read()

    async with speaking(talk) as server:
        with pytest.raises(BadReply, match="over 100000 bytes"):
            await carrier.send(post(server.url))
        await server.all_closed()


@pytest.mark.parametrize("size", [0, 1, 70_000, 10_000_000])
async def test_bodies_of_any_size_arrive(carrier: Carrier, size: int) -> None:
    bodies: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            bodies.append(request[1])
            writer.write(reply())

    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    async with speaking(talk) as server:
        for _ in range(2):
            await carrier.send(post(server.url, body))
        assert 1 == server.opened

    assert [body, body] == bodies


@pytest.mark.parametrize(
    "said",
    [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", CHUNKED[:-5]],
    ids=["nothing", "half a head", "half a body", "half of the chunks"],
)
async def test_replies_that_break_off(carrier: Carrier, said: bytes) -> None:
    async with speaking(answering(said, hang_up=True)) as server:
        with pytest.raises(UpstreamUnreachable, match="broke"):
            await carrier.send(post(server.url))


async def test_nothing_listens(carrier: Carrier) -> None:
    with pytest.raises(UpstreamUnreachable, match="nothing listens there") as caught:
        await carrier.send(post(f"http://127.0.0.1:{free_port()}"))

    assert "ConnectionRefusedError" in caught.value.detail


async def test_a_host_without_an_address(carrier: Carrier) -> None:
    with pytest.raises(UpstreamUnreachable, match="has no address"):
        await carrier.send(post("http://no-such-host.invalid:9"))


async def test_a_stream_is_read_while_it_comes(carrier: Carrier) -> None:
    said = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await read_request(reader):
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
            await said.wait()
            writer.write(b"3\r\ntwo\r\n0\r\n\r\n")

    async with speaking(talk) as server:
        for _ in range(2):
            said.clear()
            flow = await carrier.open(post(server.url))
            first = await anext(flow.body)
            said.set()
            assert (b"one", b"two") == (first, b"".join([piece async for piece in flow.body]))
        assert 1 == server.opened


async def test_a_stream_that_is_closed_hangs_up(carrier: Carrier) -> None:
    begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
    async with speaking(answering(begun)) as server:
        flow = await carrier.open(post(server.url))
        assert b"one" == await anext(flow.body)
        flow.body.close()
        await server.all_closed()


async def test_a_stream_that_breaks(carrier: Carrier) -> None:
    begun = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n"
    async with speaking(answering(begun, hang_up=True)) as server:
        flow = await carrier.open(post(server.url))
        with pytest.raises(UpstreamUnreachable):
            async for _ in flow.body:
                pass


async def test_ipv6(carrier: Carrier) -> None:
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        assert request is not None
        heads.append(request[0].lower())
        writer.write(reply())
        await writer.drain()
        writer.close()

    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = listener.getsockname()[1]
    server = await asyncio.start_server(talk, sock=listener)
    await carrier.send(post(f"http://[::1]:{port}"))
    server.close()

    assert f"host: [::1]:{port}\r\n".encode() in heads[0]
