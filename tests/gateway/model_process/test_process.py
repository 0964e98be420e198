"""The real process beside real workers: one model in memory, and how it comes and goes."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from doubles.gateway_process import GatewayProcess, running_gateway

# Before its first line a process loads the interpreter; the machine may be busy.
_SECONDS = 30


@pytest.fixture
def gateway(model_in_store: str) -> Iterator[GatewayProcess]:
    with running_gateway("--workers", "2") as running:
        running.wait_ready()
        yield running


def children(gateway: GatewayProcess) -> list[psutil.Process]:
    """The workers and the model process."""
    found = psutil.Process(gateway.process.pid).children()
    return [child for child in found if "spawn_main" in " ".join(child.cmdline())]


def has_runtime(process: psutil.Process) -> bool:
    return any("onnxruntime" in one.path for one in process.memory_maps())


def model_process_of(gateway: GatewayProcess) -> psutil.Process:
    (found,) = [child for child in children(gateway) if has_runtime(child)]
    return found


def embed(gateway: GatewayProcess, *texts: str) -> httpx.Response:
    body = {"model": "minilm", "input": list(texts)}
    return httpx.post(f"{gateway.base_url}/embeddings", json=body, timeout=_SECONDS)


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + _SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def logged(gateway: GatewayProcess, words: str) -> int:
    return sum(words in line for line in gateway.log)


def test_workers_share_one_model_and_survive_its_process(gateway: GatewayProcess) -> None:
    assert len(children(gateway)) == 3
    first = model_process_of(gateway)
    before = embed(gateway, "a", "b")
    first.kill()
    # A request meanwhile waits, or is tried again, and is answered by the next one.
    after = embed(gateway, "a", "b")
    gateway.wait_ready()

    assert (before.status_code, after.status_code) == (200, 200)
    assert before.json()["data"] == after.json()["data"]
    space = "x-embedway-vector-space"
    assert before.headers[space] == after.headers[space] == "vs1-720cec1abeab6957"
    assert model_process_of(gateway).pid != first.pid
    # Once in each process; a line of the log may be a moment late.
    until(lambda: logged(gateway, "loaded sentence-transformers") == 2)
    counts = gateway.get("/metrics")[1].decode().splitlines()
    assert "embedway_model_process_starts_total 2.0" in counts
    assert "embedway_model_process_models 1.0" in counts
    assert gateway.stop() == 0
    assert not logged(gateway, "Traceback")


def test_what_was_begun_is_finished_when_the_model_process_is_told_to_end(
    gateway: GatewayProcess,
) -> None:
    text = "a text of some length, so that it takes a while " * 10
    model = model_process_of(gateway)
    answers: list[httpx.Response] = []
    texts = [f"{number} {text}" for number in range(300)]
    caller = threading.Thread(target=lambda: answers.append(embed(gateway, *texts)))
    caller.start()
    until(lambda: calls(gateway))
    for process in (model, gateway.process):
        process.send_signal(signal.SIGTERM)
    caller.join(_SECONDS)

    assert [answer.status_code for answer in answers] == [200]
    assert len(answers[0].json()["data"]) == 300
    assert gateway.process.wait(_SECONDS) == 0
    assert not model.is_running()


def calls(gateway: GatewayProcess) -> bool:
    lines = gateway.get("/metrics")[1].decode().splitlines()
    name = "embedway_model_process_calls "
    return any(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_all_end_when_the_supervisor_is_killed(gateway: GatewayProcess) -> None:
    processes = children(gateway)
    gateway.process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(processes, timeout=_SECONDS)

    assert len(processes) == 3
    assert alive == []


def test_the_process_comes_with_the_first_local_model_and_unloads_what_is_gone(
    tmp_path: Path, model_in_store: str
) -> None:
    path = tmp_path / "embedway.yaml"
    nowhere = (
        "{name: n, dimensions: 8, upstreams: [{name: up, engine: openai, url: 'http://[::1]:9'}]}"
    )
    local = f"{{name: m, upstreams: [{{name: here, engine: local, model: {model_in_store}}}]}}"
    path.write_text(f"models: [{nowhere}]")
    with running_gateway("--workers", "2", "--config", str(path)) as gateway:
        until(lambda: gateway.get("/healthz")[0] == 200 and len(children(gateway)) == 2)
        path.write_text(f"models: [{local}]")
        gateway.process.send_signal(signal.SIGHUP)
        gateway.wait_ready()
        until(lambda: logged(gateway, "the new configuration is served") == 2)
        assert logged(gateway, "loaded sentence-transformers") == 1

        # Another name for the same model: nothing is loaded.
        path.write_text(f"models: [{local.replace('name: m', 'name: other')}]")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: logged(gateway, "the new configuration is served") == 4)
        assert logged(gateway, "loaded sentence-transformers") == 1

        path.write_text(f"models: [{nowhere}]")
        gateway.process.send_signal(signal.SIGHUP)
        until(lambda: b"embedway_model_process_models 0.0" in gateway.get("/metrics")[1])
        assert gateway.stop() == 0
