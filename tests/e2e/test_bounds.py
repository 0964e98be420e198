"""`embedway serve` as it is started, on its own event loop: what a client may cost is bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import psutil
import pytest

from doubles.gateway_process import GatewayProcess, running_gateway
from doubles.openai_upstream import OpenAIUpstream
from doubles.raw import Wire, read_reply, written
from doubles.serving import served

GOOD = b'{"model":"m","input":"a"}'
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n"
SERVER = {
    "max_connections": 16,
    "header_timeout": "500ms",
    "body_timeout": "500ms",
    "send_timeout": "500ms",
}


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    path = tmp_path_factory.mktemp("bounds") / "embedway.yaml"
    with served(OpenAIUpstream()) as url:
        up = {"name": "up", "engine": "openai", "url": url}
        model = {"name": "m", "dimensions": 8, "upstreams": [up]}
        # JSON is YAML.
        path.write_text(json.dumps({"server": SERVER, "models": [model]}))
        with running_gateway("--config", str(path)) as running:
            running.wait_ready()
            yield running


async def ended(wire: Wire, said: bytes, *, times: int = 1, piece: bytes = b"") -> bytes:
    """What is heard until the gateway hangs up."""
    reader, writer = await asyncio.open_connection(*wire.address)
    heard = b""
    try:
        async with asyncio.timeout(15):
            writer.write(said)
            for _ in range(times - 1):
                writer.write(piece)
                await writer.drain()
            while some := await reader.read(65536):
                heard += some
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return heard


async def test_one_process_outlives_them_all(process: GatewayProcess) -> None:
    wire = Wire(process.root)
    seen = psutil.Process(process.process.pid)
    assert 200 == (await wire.post(GOOD))[0]
    memory, files = seen.memory_info().rss, seen.num_fds()
    attacks = {
        "a slow head": (HEAD + b"x: ", b"408", 1, b""),
        "a slow body": (HEAD + b"content-length: 99\r\n\r\n", b"408", 1, b""),
        "nothing": (b"", b"", 1, b""),
        "endless headers": (HEAD, b"431", 400, b"x: y\r\n" * 10_000),
        "endless trailers": (
            HEAD + b"transfer-encoding: chunked\r\n\r\n19\r\n" + GOOD + b"\r\n0\r\n",
            b"431",
            400,
            b"x: y\r\n" * 10_000,
        ),
        "two lengths": (HEAD + b"content-length: 0\r\ncontent-length: 9\r\n\r\n", b"400", 1, b""),
        "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400", 1, b""),
    }
    for name, (said, status, times, piece) in attacks.items():
        heard = await ended(wire, said, times=times, piece=piece)
        assert heard[9:12] == status or (times > 1 and not heard), (name, heard)
        assert 200 == (await wire.post(GOOD))[0], name
    upgrade = b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 25\r\n\r\n"
    replies = await wire.say((HEAD + upgrade + GOOD) * 2, replies=2)
    assert [200, 200] == [status for status, _, _ in replies]

    flood = [await asyncio.open_connection(*wire.address) for _ in range(200)]
    assert 200 == (await wire.post(GOOD))[0]
    # Those that came last are still there.
    reader, writer = flood[-1]
    writer.write(written(GOOD))
    reply = await read_reply(reader)
    assert reply is not None
    assert 200 == reply[0]
    for _, writer in flood:
        writer.transport.abort()

    async with asyncio.timeout(10):
        while seen.num_fds() > files + 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert seen.memory_info().rss - memory < 24 * 2**20
    assert "Traceback" not in "".join(process.log)
