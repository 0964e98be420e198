"""A running gateway takes over a new configuration, and nobody who calls it notices."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from doubles.caller import Callers
from doubles.gateway_process import GatewayProcess, running_gateway
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served


class File:
    """A configuration with one model on the upstream `a` or `b`."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "embedway.yaml"
        self.urls: dict[str, str] = {}

    def name(self, upstream: str) -> None:
        self.path.write_text(
            "models: [{name: m, dimensions: 8, upstreams: "
            f"[{{name: {upstream}, engine: openai, url: '{self.urls[upstream]}'}}]}}]\n"
        )


@pytest.fixture
def file(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path)
    with ExitStack() as stack:
        file.urls = {name: stack.enter_context(served(OpenAIUpstream())) for name in "ab"}
        file.name("a")
        yield file


def wait_for(gateway: GatewayProcess, words: str, times: int = 1) -> None:
    end = time.monotonic() + 20
    while sum(words in line for line in gateway.log) < times:
        assert gateway.process.poll() is None
        assert time.monotonic() < end, "".join(gateway.log)
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_reloads_under_load_lose_nothing(file: File, workers: int) -> None:
    arguments = ("--workers", str(workers), "--no-watch", "--config", str(file.path))
    with running_gateway(*arguments) as gateway:
        gateway.wait_ready()
        with Callers(gateway.base_url) as callers:
            for turn in range(10):
                file.name("ba"[turn % 2])
                gateway.process.send_signal(signal.SIGHUP)
                wait_for(gateway, "the new configuration is served", (turn + 1) * workers)
                time.sleep(0.05)
        last = Callers(gateway.base_url, count=1)
        with last:
            time.sleep(0.1)

        assert (callers.wrong, callers.lost, callers.refused) == ([], [], 0)
        assert set(callers.served_by) == {"a", "b"}
        assert set(last.served_by) == {"a"}, "the last one"
        assert gateway.stop() == 0


def test_a_bad_configuration_is_refused_and_the_old_one_stays(file: File) -> None:
    with running_gateway("--no-watch", "--config", str(file.path)) as gateway:
        gateway.wait_ready()
        file.path.write_text("models: [{name: m}]\nservr: {}\n")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(gateway, "models[0].upstreams: is missing")
        with Callers(gateway.base_url, count=1) as callers:
            time.sleep(0.1)
        # It is told by who reads the file, before the one who serves has taken note.
        refused = gateway.get("/metrics")[1].decode()
        file.name("b")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(gateway, "the new configuration is served")
        taken = gateway.get("/metrics")[1].decode()

        assert any("did you mean 'server'" in line for line in gateway.log), "told whole"
        assert set(callers.served_by) == {"a"}
        assert callers.wrong == []
        assert 'embedway_config_reloads_total{outcome="refused"} 1.0' in refused
        assert "embedway_config_last_reload_success 0.0" in refused
        assert 'embedway_config_reloads_total{outcome="ok"} 1.0' in taken
        assert "embedway_config_last_reload_success 1.0" in taken


def test_a_file_that_changed_is_taken_over_by_itself(file: File) -> None:
    with running_gateway("--config", str(file.path)) as gateway:
        gateway.wait_ready()
        file.name("b")
        wait_for(gateway, "the new configuration is served")
        with Callers(gateway.base_url, count=2) as callers:
            time.sleep(0.1)

        assert set(callers.served_by) == {"b"}


def test_a_worker_that_is_replaced_starts_with_the_last_good_configuration(file: File) -> None:
    import psutil

    arguments = ("--workers", "2", "--no-watch", "--config", str(file.path))
    with running_gateway(*arguments) as gateway:
        gateway.wait_ready()
        file.name("b")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(gateway, "the new configuration is served", 2)
        file.path.write_text("models: []")
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(gateway, "is refused")
        workers = [
            child
            for child in psutil.Process(gateway.process.pid).children()
            if "spawn_main" in " ".join(child.cmdline())
        ]
        for worker in workers:
            worker.kill()
        wait_for(gateway, "starting another", 2)
        gateway.wait_ready()
        with Callers(gateway.base_url, count=2) as callers:
            time.sleep(0.1)

        assert set(callers.served_by) == {"b"}


def test_without_a_file_sighup_ends_it(model_in_store: str) -> None:
    with running_gateway() as gateway:
        gateway.wait_ready()

        assert gateway.stop(signal.SIGHUP) == 0
