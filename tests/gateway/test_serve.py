"""The process: how it starts, what it serves without a configuration, and how it ends."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import httpx
import pytest

from doubles.chat_upstream import ChatUpstream, events
from doubles.gateway_process import GatewayProcess, running_gateway
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, served


def post(base_url: str, text: str, timeout: float = 30) -> dict[str, object]:
    request = urllib.request.Request(
        f"{base_url}/embeddings",
        json.dumps({"model": "m", "input": text}).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=timeout) as answer:
        body: dict[str, object] = json.load(answer)
        return body


def configured(tmp_path: Path, url: str, more: str = "") -> str:
    path = tmp_path / "embedway.yaml"
    path.write_text(
        f"models: [{{name: m, dimensions: 8, upstreams: "
        f"[{{name: up, engine: openai, url: '{url}'}}]}}]\n{more}"
    )
    return str(path)


def compared(gateway: GatewayProcess, upstream: OpenAIUpstream) -> None:
    """What the gateway asks before the first answer is asked, and forgotten."""
    post(gateway.base_url, "the first")
    upstream.reset()


def test_sigterm_finishes_what_was_begun_and_exits_with_0(tmp_path: Path) -> None:
    upstream = OpenAIUpstream()
    with served(upstream) as url, running_gateway("--config", configured(tmp_path, url)) as gateway:
        compared(gateway, upstream)
        upstream.delay = 1.0
        answers: list[object] = []
        caller = threading.Thread(target=lambda: answers.append(post(gateway.base_url, "a")))
        caller.start()
        while not upstream.seen:
            time.sleep(0.01)
        gateway.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        status, body = gateway.get("/readyz")
        late, error = gateway.get("/v1/models")
        caller.join(10)

        assert 1 == len(answers)
        assert "data" in answers[0]  # type: ignore[operator]
        assert (503, 503) == (status, late)
        assert "shutting_down" == json.loads(error)["error"]["code"]
        assert b"shutting" in body
        assert 0 == gateway.process.wait(10)


def test_sigterm_lets_a_stream_go_on_to_its_end(tmp_path: Path) -> None:
    upstream = ChatUpstream(held=True)
    path = tmp_path / "embedway.yaml"
    with served(upstream) as url:
        path.write_text(
            "models: [{name: m, capabilities: [chat], upstreams: "
            f"[{{name: up, engine: openai, url: '{url}'}}]}}]"
        )
        body = {"model": "m", "messages": [], "stream": True}
        upstream.release()
        with (
            running_gateway("--config", str(path)) as gateway,
            httpx.stream("POST", f"{gateway.base_url}/chat/completions", json=body) as stream,
        ):
            pieces = stream.iter_bytes()
            got = next(pieces)
            gateway.process.send_signal(signal.SIGTERM)
            while gateway.get("/readyz")[0] == 200:
                time.sleep(0.01)
            for _ in events():
                upstream.release()
            got += b"".join(pieces)

            assert b"".join(events()).replace(b'"odsc-llm"', b'"m"') == got
            assert 0 == gateway.process.wait(10)


def test_the_grace_period_bounds_the_wait(tmp_path: Path) -> None:
    upstream = OpenAIUpstream()
    config_of = configured
    with (
        served(upstream) as url,
        running_gateway("-c", config_of(tmp_path, url, "server: {grace: 500ms}")) as gateway,
    ):
        compared(gateway, upstream)
        upstream.delay = 60.0
        caller = threading.Thread(target=_ignore, args=(gateway,), daemon=True)
        caller.start()
        while not upstream.seen:
            time.sleep(0.01)

        begun = time.monotonic()
        assert 0 == gateway.stop(seconds=10)
        assert time.monotonic() - begun < 4, "the grace period once, not twice"


def test_a_caller_that_goes_away_frees_its_slot(tmp_path: Path) -> None:
    upstream = OpenAIUpstream()
    with (
        served(upstream) as url,
        running_gateway("-c", configured(tmp_path, url)) as gateway,
    ):
        compared(gateway, upstream)
        upstream.delay = 30.0
        with pytest.raises(OSError, match="timed out"):
            post(gateway.base_url, "a", timeout=0.3)
        assert 1 == len(upstream.seen)
        end = time.monotonic() + 5
        while (
            b'embedway_upstream_in_flight{model="m",upstream="up"} 0.0'
            not in (gateway.get("/metrics")[1])
        ):
            assert time.monotonic() < end
            time.sleep(0.05)


def _ignore(gateway: GatewayProcess) -> None:
    with contextlib.suppress(OSError):
        post(gateway.base_url, "a", timeout=10)


def test_sigint_ends_it_too(tmp_path: Path) -> None:
    config = configured(tmp_path, "http://127.0.0.1:9")
    with running_gateway("--config", config) as gateway:
        assert 0 == gateway.stop(signal.SIGINT)


def test_health_answers_whatever_the_upstreams_do(tmp_path: Path) -> None:
    config = configured(tmp_path, f"http://127.0.0.1:{free_port()}")
    with running_gateway("--config", config) as gateway:
        assert 200 == gateway.get("/healthz")[0]


def test_several_workers_share_the_address_and_the_counts(tmp_path: Path) -> None:
    with (
        served(OpenAIUpstream()) as url,
        running_gateway("--workers", "2", "--config", configured(tmp_path, url)) as gateway,
    ):
        gateway.wait_ready()
        for number in range(20):
            post(gateway.base_url, f"text {number}")
        counts = {gateway.get("/metrics")[1].decode() for _ in range(6)}

        for text in counts:
            assert 'embedway_requests_total{model="m",outcome="ok"} 20.0' in text
        assert 0 == gateway.stop()


def test_a_worker_that_dies_is_replaced(tmp_path: Path) -> None:
    import psutil

    with (
        served(OpenAIUpstream()) as url,
        running_gateway("--workers", "2", "--config", configured(tmp_path, url)) as gateway,
    ):
        gateway.wait_ready()
        workers = [
            child
            for child in psutil.Process(gateway.process.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]
        workers[0].kill()
        end = time.monotonic() + 20
        while not any("starting another" in line for line in gateway.log):
            assert time.monotonic() < end
            time.sleep(0.05)

        assert post(gateway.base_url, "a")["data"]
        assert 0 == gateway.stop()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "embedway_gateway", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_port_that_is_taken_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        config = configured(tmp_path, "http://127.0.0.1:9")
        done = run("serve", "--config", config, "--port", port)

    assert 1 == done.returncode
    assert "another --port" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_beyond_loopback_it_does_not_listen(host: str) -> None:
    done = run("serve", "--host", host)

    assert 0 != done.returncode
    assert "loopback" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_configuration_is_told_whole(tmp_path: Path) -> None:
    path = tmp_path / "embedway.yaml"
    path.write_text("models: [{name: a}]\nservr: {}\n")
    done = run("serve", "--config", str(path))

    assert 1 == done.returncode
    assert "did you mean 'server'" in done.stderr.replace("\n", " ")
    assert "models[0].upstreams: is missing" in done.stderr
    assert "Traceback" not in done.stderr


def test_one_line_a_request_and_never_a_text(gateway: GatewayProcess) -> None:
    secret = "planted-7f3a"
    request = urllib.request.Request(
        f"{gateway.base_url}/embeddings",
        json.dumps({"model": "minilm", "input": secret}).encode(),
        {"content-type": "application/json", "x-request-id": "find-me", "x-secret": secret},
    )
    with urllib.request.urlopen(request, timeout=30):
        pass
    end = time.monotonic() + 5
    while not (lines := [line for line in gateway.log if "find-me" in line]):
        assert time.monotonic() < end
        time.sleep(0.01)
    facts = json.loads(lines[0])

    assert 1 == len(lines)
    assert ("POST", "/v1/embeddings", 200) == (facts["method"], facts["path"], facts["status"])
    assert ("local", 1) == (facts["upstream"], facts["texts"])
    assert not [line for line in gateway.log if secret in line]
