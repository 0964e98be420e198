"""The end of a gateway under load: what was accepted is answered, and new requests go elsewhere."""

from __future__ import annotations

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from doubles.caller import Callers
from doubles.gateway_process import running_gateway
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served


@pytest.fixture
def url() -> Iterator[str]:
    with served(OpenAIUpstream(delay=0.02)) as url:
        yield url


def configured(tmp_path: Path, url: str, server: str = "{}", *, dimensions: int = 8) -> str:
    path = tmp_path / "embedway.yaml"
    path.write_text(
        f"models: [{{name: m, dimensions: {dimensions}, upstreams: "
        f"[{{name: up, engine: openai, url: '{url}'}}]}}]\nserver: {server}\n"
    )
    return str(path)


@pytest.mark.parametrize(("workers", "delay"), [(1, 0), (1, 1), (2, 0)])
def test_nothing_that_was_accepted_is_lost(
    tmp_path: Path, url: str, workers: int, delay: int
) -> None:
    config = configured(tmp_path, url, f"{{drain_delay: {delay}s}}")
    with running_gateway("--workers", str(workers), "--config", config) as gateway:
        gateway.wait_ready()
        with Callers(gateway.base_url) as callers:
            time.sleep(1.5)
            assert gateway.stop() == 0
        accepted = "".join(gateway.log)

        assert callers.wrong == []
        assert len(callers.served_by) > 16
        assert [name for name in callers.lost if name in accepted] == []


def test_an_answer_that_is_being_read_is_read_to_its_end(tmp_path: Path) -> None:
    """It has left the gateway's hands long before its client has it."""
    body = json.dumps({"model": "m", "input": [f"text {n}" for n in range(700)]}).encode()
    ask = b"POST /v1/embeddings HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n"
    ask += b"content-length: %d\r\n\r\n" % len(body) + body
    with served(OpenAIUpstream(dimensions=1024)) as url:
        config = configured(tmp_path, url, dimensions=1024)
        with running_gateway("--config", config) as gateway, socket.socket() as client:
            gateway.wait_ready()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
            client.settimeout(30)
            client.connect(("127.0.0.1", int(gateway.root.rpartition(":")[2])))
            client.sendall(ask)
            said = client.recv(4096)
            gateway.process.send_signal(signal.SIGTERM)
            # Longer than uvicorn itself waits for connections.
            time.sleep(2)
            while piece := client.recv(1 << 20):
                said += piece
            code = gateway.process.wait(10)

    head, _, answer = said.partition(b"\r\n\r\n")
    assert f"content-length: {len(answer)}".encode() in head
    assert len(json.loads(answer)["data"]) == 700
    assert code == 0


def test_during_the_delay_all_is_served_and_sent_elsewhere(tmp_path: Path, url: str) -> None:
    config = configured(tmp_path, url, "{drain_delay: 1s}")
    with running_gateway("--config", config) as gateway, httpx.Client() as client:
        gateway.wait_ready()
        body = {"model": "m", "input": "a"}
        before = client.post(f"{gateway.base_url}/embeddings", json=body)
        begun = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        while gateway.get("/readyz")[0] == 200:
            time.sleep(0.01)
        during = client.post(f"{gateway.base_url}/embeddings", json=body)
        health = client.get(f"{gateway.root}/healthz")
        code = gateway.process.wait(10)

        assert (before.status_code, during.status_code, health.status_code) == (200, 200, 200)
        assert "connection" not in before.headers
        assert (during.headers["connection"], health.headers["connection"]) == ("close", "close")
        assert code == 0
        assert 1.0 <= time.monotonic() - begun < 3.0


def test_a_second_signal_ends_it_at_once(tmp_path: Path, url: str) -> None:
    config = configured(tmp_path, url, "{drain_delay: 30s}")
    with running_gateway("--workers", "2", "--config", config) as gateway:
        gateway.wait_ready()
        gateway.process.send_signal(signal.SIGINT)
        # Of one of them: the other may not have begun to serve, and then simply leaves.
        end = time.monotonic() + 20
        while not any("serving for another" in line for line in gateway.log):
            assert time.monotonic() < end, gateway.log
            time.sleep(0.02)

        assert gateway.stop(seconds=5) == 0
