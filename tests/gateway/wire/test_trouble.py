"""What stands in the way of a connection is told with its cure."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import pytest

from doubles.serving import free_port
from doubles.speaker import answering, reply, speaking
from embedway_gateway.wire import WireTransport
from embedway_gateway.wire.trouble import unreachable, why
from embedway_upstream import HTTPCall, UpstreamUnreachable


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (socket.gaierror(socket.EAI_NONAME, "x"), "has no address; check its spelling"),
        (UnicodeError("x"), "has no address; check its spelling"),
        (ConnectionRefusedError(), "nothing listens there"),
        (TimeoutError(), "no connection in 5 seconds"),
        (OSError(errno.ETIMEDOUT, "x"), "no connection in 5 seconds"),
        (OSError(errno.ENETUNREACH, "x"), "no route leads there"),
        (OSError(errno.EHOSTUNREACH, "x"), "no route leads there"),
        (OSError(errno.EMFILE, "x"), "ulimit -n"),
        (ConnectionResetError(), "hangs up before TLS"),
        (ssl.SSLError(1, "x"), "does not speak TLS"),
        (ssl.SSLCertVerificationError("x"), "SSL_CERT_FILE"),
        (OSError("x"), "check host and port"),
    ],
)
def test_each_names_its_cure(error: Exception, expected: str) -> None:
    assert expected in why(error)
    told = unreachable(error)
    assert told.message.startswith("the upstream cannot be reached: ")
    assert type(error).__name__ == told.detail


def test_without_tls_it_is_not_blamed() -> None:
    assert "TLS" not in why(ConnectionResetError(), tls=False)


async def test_several_addresses_that_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()

    async def two(*_: object) -> list[object]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
            for host in ("127.0.0.2", "127.0.0.1")
        ]

    monkeypatch.setattr("embedway_gateway.wire.dial._addresses", two)
    with pytest.raises(UpstreamUnreachable, match="nothing listens there"):
        await WireTransport().send(HTTPCall("GET", "http://name.example/", {}, b""))


async def test_one_of_several_addresses_answers(
    wire: WireTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with speaking(answering(reply())) as server:

        async def two(*_: object) -> list[object]:
            return [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, server.port))
                for host in ("127.0.0.2", "127.0.0.1")
            ]

        monkeypatch.setattr("embedway_gateway.wire.dial._addresses", two)
        assert 200 == (await wire.send(HTTPCall("GET", "http://name.example/", {}, b""))).status


async def test_a_dead_address_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: object) -> list[object]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr("embedway_gateway.wire.dial._addresses", never)
    monkeypatch.setattr("embedway_gateway.wire.dial.CONNECT_SECONDS", 0.01)
    with pytest.raises(UpstreamUnreachable, match="no connection in 5 seconds"):
        await WireTransport().send(HTTPCall("GET", "http://name.example/", {}, b""))


async def test_a_name_that_is_none() -> None:
    with pytest.raises(UpstreamUnreachable, match="has no address"):
        await WireTransport().send(HTTPCall("GET", "http://a..b:9/", {}, b""))
