"""Encrypted calls: only to who proves the name, and what is said of who does not."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from doubles.authority import Authority
from doubles.speaker import answering, read_request, reply, speaking
from embedway_gateway.transport import AiohttpTransport
from embedway_gateway.wire import Carrier, WireTransport, make_transport
from embedway_upstream import HTTPCall, UpstreamUnreachable
from embedway_upstream.proxy import Proxies

BOTH = pytest.mark.parametrize("kind", [WireTransport, AiohttpTransport], ids=["wire", "aiohttp"])


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def opened(kind: Callable[..., Carrier], authority: Authority) -> AsyncIterator[Carrier]:
    transport = kind(tls=authority.client)
    try:
        yield transport
    finally:
        await transport.close()


def post(url: str, body: bytes = b"{}") -> HTTPCall:
    return HTTPCall("POST", url + "/", {}, body)


@BOTH
async def test_calls_are_carried(kind: Callable[..., Carrier], authority: Authority) -> None:
    protocols: list[str | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocols.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
        while request := await read_request(reader):
            writer.write(reply(request[1]))

    body = bytes(range(256)) * 20_000
    async with opened(kind, authority) as carrier, speaking(talk, tls=authority.server()) as server:
        for _ in range(3):
            assert body == (await carrier.send(post(server.url, body))).body
        flow = await carrier.open(post(server.url, body))
        assert body == await flow.body.read(len(body))
        assert 1 == server.opened
        await carrier.close()
        await server.all_closed()

    assert protocols in (["http/1.1"], [None])
    if kind is WireTransport:
        assert ["http/1.1"] == protocols


@BOTH
async def test_the_name_is_told_to_the_server(
    kind: Callable[..., Carrier], authority: Authority
) -> None:
    told: list[str | None] = []
    tls = authority.server("localhost")
    tls.sni_callback = lambda _object, name, _context: told.append(name)
    async with opened(kind, authority) as carrier, speaking(answering(reply()), tls=tls) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        assert 200 == (await carrier.send(post(url))).status

    assert ["localhost"] == told


@BOTH
@pytest.mark.parametrize(
    ("make", "message"),
    {
        "another name": (lambda by: by.server("localhost"), "certificate is for another host"),
        "another address": (lambda by: by.server("127.0.0.2"), "certificate is for another host"),
        "expired": (lambda by: by.server(days=(-3, -1)), "certificate has expired"),
        "too early": (lambda by: by.server(days=(1, 3)), "certificate is not valid yet"),
        "its own": (lambda by: by.server(self_signed=True), "is not trusted .* SSL_CERT_FILE"),
    }.values(),
)
async def test_who_does_not_prove_the_name_gets_nothing(
    kind: Callable[..., Carrier],
    authority: Authority,
    make: Callable[[Authority], ssl.SSLContext],
    message: str,
) -> None:
    heard: list[object] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await read_request(reader))

    async with opened(kind, authority) as carrier, speaking(talk, tls=make(authority)) as server:
        with pytest.raises(UpstreamUnreachable, match=f"cannot be reached: .*{message}") as caught:
            await carrier.send(post(server.url))
    assert caught.value.detail == "SSLCertVerificationError"
    assert not any(heard)


async def test_an_authority_of_nobody_is_not_trusted(authority: Authority) -> None:
    transport = WireTransport()
    async with speaking(answering(reply()), tls=authority.server()) as server:
        with pytest.raises(UpstreamUnreachable, match="not trusted"):
            await transport.send(post(server.url))


async def test_the_environment_names_an_authority(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    transport = make_transport(Proxies())
    async with speaking(answering(reply()), tls=authority.server()) as server:
        assert 200 == (await transport.send(post(server.url))).status
        await transport.close()


@BOTH
async def test_plain_http_is_no_tls(kind: Callable[..., Carrier], authority: Authority) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        writer.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    async with opened(kind, authority) as carrier, speaking(talk) as server:
        with pytest.raises(UpstreamUnreachable, match="does not speak TLS there"):
            await carrier.send(post(server.url.replace("http:", "https:")))


async def test_who_hangs_up_within_the_handshake(authority: Authority) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)

    async with opened(WireTransport, authority) as carrier, speaking(talk) as server:
        with pytest.raises(UpstreamUnreachable, match="hangs up before TLS"):
            await carrier.send(post(server.url.replace("http:", "https:")))


async def test_a_server_that_asks_for_a_certificate(authority: Authority) -> None:
    tls = authority.server(asks_client=True)

    def refuse() -> None:
        # Not asyncio's TLS, which hangs up without the alert that tells why.
        raw, _ = listener.accept()
        with tls.wrap_socket(raw, server_side=True, do_handshake_on_connect=False) as one:
            with pytest.raises(ssl.SSLError):
                one.do_handshake()
            while socket.socket.recv(one, 65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        refusing = asyncio.get_running_loop().run_in_executor(None, refuse)
        async with opened(WireTransport, authority) as carrier:
            with pytest.raises(UpstreamUnreachable, match="asks for no client certificate"):
                await carrier.send(post(url))
        await refusing


async def test_calls_are_ended_by_closing(authority: Authority) -> None:
    heard = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        heard.set()
        await reader.read()

    async with speaking(talk, tls=authority.server()) as server:
        transport = WireTransport(tls=authority.client)
        call = asyncio.ensure_future(transport.send(post(server.url)))
        await heard.wait()
        await transport.close()
        with pytest.raises(UpstreamUnreachable):
            await call
        await server.all_closed()
