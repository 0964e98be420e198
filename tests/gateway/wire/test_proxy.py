"""Upstreams behind a proxy: reached through it, and what is said where that fails."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from doubles.authority import Authority
from doubles.proxy import Proxy
from doubles.serving import free_port
from doubles.speaker import answering, read_request, reply, speaking
from embedway_gateway.transport import AiohttpTransport
from embedway_gateway.wire import WireTransport, make_transport
from embedway_upstream import HTTPCall, UpstreamUnreachable
from embedway_upstream.proxy import Proxies

NAME = "upstream.example"


def post(url: str) -> HTTPCall:
    return HTTPCall("POST", url + "/v1/x%2Fy", {"host": url.partition("//")[2]}, b"{}")


async def test_encrypted_calls_pass_through(tmp_path: Path) -> None:
    authority, proxy = Authority(tmp_path), Proxy()
    heads: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            heads.append(request[0])
            writer.write(reply(b"secret"))

    async with (
        speaking(talk, tls=authority.server(NAME)) as server,
        speaking(proxy.talk) as outside,
    ):
        proxy.port = server.port
        named = f"http://me:secret@127.0.0.1:{outside.port}"
        transport = make_transport(Proxies(https=named), tls=authority.client)
        for _ in range(2):
            assert b"secret" == (await transport.send(post(f"https://{NAME}"))).body
        flow = await transport.open(post(f"https://{NAME}"))
        assert b"secret" == await flow.body.read(10)
        await transport.close()

    assert f"CONNECT {NAME}:443 HTTP/1.1".encode() == proxy.lines[0]
    assert b"POST /v1/x%2Fy HTTP/1.1" == heads[0].split(b"\r\n")[0]
    assert b"secret" not in b"".join(heads)


async def test_plain_calls_are_given_to_the_proxy() -> None:
    proxy = Proxy()
    async with speaking(proxy.talk) as outside:
        named = f"http://me:secret@127.0.0.1:{outside.port}"
        transport = make_transport(Proxies(http=named))
        assert b"carried" == (await transport.send(post(f"http://{NAME}:81"))).body
        await transport.close()

    assert f"POST http://{NAME}:81/v1/x%2Fy HTTP/1.1".encode() == proxy.lines[0]


async def test_others_are_called_without() -> None:
    transport = make_transport(Proxies(http=f"http://127.0.0.1:{free_port()}"))
    async with speaking(answering(reply(b"direct"))) as server:
        assert b"direct" == (await transport.send(post(server.url))).body
        await transport.close()
        await server.all_closed()


async def test_without_proxies_there_is_one_way() -> None:
    assert isinstance(make_transport(Proxies()), WireTransport)


async def test_a_proxy_that_wants_a_password(tmp_path: Path) -> None:
    async with speaking(Proxy().talk) as outside:
        transport = make_transport(Proxies(https=f"http://127.0.0.1:{outside.port}"))
        with pytest.raises(UpstreamUnreachable, match=r"HTTPS_PROXY .* \(status 407\)") as caught:
            await transport.send(post(f"https://{NAME}"))
        await transport.close()
    assert NAME not in str(caught.value)


async def test_a_proxy_that_is_not_there() -> None:
    transport = make_transport(Proxies(https=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(UpstreamUnreachable, match=r"HTTPS_PROXY .* cannot be reached"):
        await transport.send(post(f"https://{NAME}"))
    await transport.close()


async def test_a_proxy_of_another_kind() -> None:
    transport = AiohttpTransport(proxy_of=lambda _: "socks5://127.0.0.1:1080")
    with pytest.raises(UpstreamUnreachable, match=r"HTTPS_PROXY .* is not of http://"):
        await transport.send(post(f"https://{NAME}"))
