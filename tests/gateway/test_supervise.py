"""Several workers: what becomes of those that die, and of those whose supervisor does."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from doubles.gateway_process import GatewayProcess, running_gateway
from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from doubles.worker import die_at_once
from embedway_gateway.config.schema import default_config
from embedway_gateway.supervise import Patience, WorkersFail, supervise


@pytest.fixture
def upstream() -> OpenAIUpstream:
    return OpenAIUpstream()


@pytest.fixture
def gateway(tmp_path: Path, upstream: OpenAIUpstream) -> Iterator[GatewayProcess]:
    path = tmp_path / "embedway.yaml"
    with served(upstream) as url:
        path.write_text(
            f"models: [{{name: m, dimensions: 8, upstreams: "
            f"[{{name: up, engine: openai, url: '{url}'}}]}}]"
        )
        with running_gateway("--workers", "2", "--config", str(path)) as gateway:
            gateway.wait_ready()
            yield gateway


def workers_of(gateway: GatewayProcess) -> list[psutil.Process]:
    children = psutil.Process(gateway.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def ask(gateway: GatewayProcess) -> None:
    with contextlib.suppress(httpx.HTTPError):
        body = {"model": "m", "input": "a"}
        httpx.post(f"{gateway.base_url}/embeddings", json=body, timeout=30)


def in_flight(gateway: GatewayProcess) -> float:
    lines = gateway.get("/metrics")[1].decode().splitlines()
    shown = [line for line in lines if line.startswith("embedway_upstream_in_flight{")]
    return sum(float(line.split()[-1]) for line in shown)


def test_what_a_dead_worker_had_begun_is_not_counted_for_ever(
    gateway: GatewayProcess, upstream: OpenAIUpstream
) -> None:
    upstream.delay = 20.0
    callers = [threading.Thread(target=ask, args=(gateway,)) for _ in range(2)]
    for caller in callers:
        caller.start()
    end = time.monotonic() + 10
    while in_flight(gateway) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    # What the new ones ask on their own is answered at once.
    upstream.delay = 0.0
    for worker in workers_of(gateway):
        worker.kill()
    for caller in callers:
        caller.join(10)
    while sum("starting another" in line for line in gateway.log) < 2:
        assert time.monotonic() < end + 10
        time.sleep(0.05)

    # What the new ones ask on their own may still be on its way.
    while in_flight(gateway) > 0:
        assert time.monotonic() < end + 15
        time.sleep(0.1)


def test_a_new_worker_asks_for_keys_though_the_configuration_no_longer_does(
    tmp_path: Path, upstream: OpenAIUpstream
) -> None:
    Keys(tmp_path).make("app")
    path = tmp_path / "embedway.yaml"
    with served(upstream) as url:
        models = (
            f"models: [{{name: m, dimensions: 8, upstreams: "
            f"[{{name: up, engine: openai, url: '{url}'}}]}}]\n"
        )
        path.write_text(f"{models}server: {{keys: '{tmp_path / 'keys.yaml'}'}}\n")
        with running_gateway("--workers", "2", "--config", str(path)) as gateway:
            gateway.wait_ready()
            path.write_text(models)
            told(gateway, "needs a restart", 1)
            for worker in workers_of(gateway):
                worker.kill()
            told(gateway, "starting another", 2)
            with httpx.Client(base_url=gateway.base_url, timeout=60) as http:
                for _ in range(8):
                    # Each of them on a connection of its own.
                    headers = {"connection": "close"}
                    assert http.get("/models", headers=headers).status_code == 401


def status(gateway: GatewayProcess, secret: str = "") -> int:
    """On a connection of its own, of whichever worker takes it."""
    headers = {"connection": "close"} | ({"x-api-key": secret} if secret else {})
    return httpx.get(f"{gateway.base_url}/models", headers=headers, timeout=60).status_code


def until(gateway: GatewayProcess, secret: str, wanted: int) -> None:
    """Every worker answers so."""
    end = time.monotonic() + 30
    while {status(gateway, secret) for _ in range(12)} != {wanted}:
        assert time.monotonic() < end, "".join(gateway.log)
        time.sleep(0.05)


@pytest.mark.parametrize("spoil", [lambda path: path.write_text("keys: [{"), Path.unlink])
def test_workers_are_replaced_while_the_file_of_keys_is_wrong(
    tmp_path: Path, upstream: OpenAIUpstream, spoil: Callable[[Path], object]
) -> None:
    keys = Keys(tmp_path)
    good, gone = keys.make("app"), keys.make("gone")
    path = tmp_path / "embedway.yaml"
    with served(upstream) as url:
        path.write_text(
            f"models: [{{name: m, dimensions: 8, upstreams: [{{name: up, engine: openai, "
            f"url: '{url}'}}]}}]\nserver: {{keys: '{keys.path}'}}\n"
        )
        with running_gateway("--workers", "2", "--config", str(path)) as gateway:
            gateway.wait_ready()
            keys.revoke("gone")
            until(gateway, gone, 401)
            kept = keys.path.read_bytes()
            spoil(keys.path)
            told(gateway, "the new keys are refused, the old ones stay", 2)
            for worker in workers_of(gateway):
                worker.kill()
            told(gateway, "this worker starts with the 2 keys that were last good", 2)

            assert [200, 401, 401] == [status(gateway, one) for one in (good, gone, "")]
            # Right again, and followed as before.
            keys.path.write_bytes(kept)
            keys.path.chmod(0o600)
            late = keys.make("late")
            until(gateway, late, 200)
            assert sum("starting another" in line for line in gateway.log) == 2
            assert not any(secret in line for secret in (good, gone) for line in gateway.log)


def told(gateway: GatewayProcess, words: str, times: int) -> None:
    end = time.monotonic() + 30
    while sum(words in line for line in gateway.log) < times:
        assert time.monotonic() < end
        time.sleep(0.05)


def test_workers_end_when_their_supervisor_is_killed(gateway: GatewayProcess) -> None:
    workers = workers_of(gateway)
    gateway.process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=10)

    assert len(workers) == 2
    assert alive == []
    assert sum("the supervisor is gone" in line for line in gateway.log) == 2


@pytest.fixture
def orders() -> Iterator[None]:
    """Signals go where they went before."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("orders")
def test_workers_that_die_at_once_are_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    patience = Patience(first=0.05, tries=3)
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(WorkersFail, match=r"3 workers in a row .* exit code 3"),
    ):
        supervise(die_at_once, default_config("m"), listener, 1, patience=patience)

    pauses = [message.rpartition(" in ")[2] for message in caplog.messages]
    assert pauses == ["0.05 s", "0.1 s"], "and each is longer than the one before"
