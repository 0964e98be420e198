"""`embedway bench`, against stand-ins for the engines."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner
from typer.testing import Result as Run

from doubles.engine_infinity import Infinity
from doubles.engine_openai import OpenAIServer
from doubles.engine_ovms import OVMS
from doubles.engine_server import Answer, Asked, EngineServer
from doubles.engine_tei import TEI
from doubles.engine_vllm import VLLM
from doubles.gateway_process import GatewayProcess
from doubles.serving import free_port, served
from embedway_gateway.bench.tally import Result, Tally
from embedway_gateway.cli.app import application

Serve = Callable[[Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


def benched(*arguments: str) -> Run:
    return CliRunner().invoke(application(), ["bench", *arguments])


def figures(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = benched(*arguments, "--json", "-")
    return result.exit_code, json.loads(result.stdout)["endpoints"]


@pytest.mark.parametrize(
    ("engine", "server"),
    [
        ("tei", TEI),
        ("ovms", OVMS),
        ("infinity", Infinity),
        ("vllm", VLLM),
        ("openai", OpenAIServer),
    ],
)
def test_every_engine_is_measured(
    serve: Serve, engine: str, server: Callable[[], EngineServer]
) -> None:
    code, found = figures(
        f"{engine}+{serve(server())}", "-n", "10", "--batch-size", "4", "--synthetic-length", "6"
    )

    assert code == 0
    assert (found[0]["requests"], found[0]["success_rate"], found[0]["errors"]) == (10, 1.0, {})
    assert found[0]["texts_per_second"] == pytest.approx(4 * found[0]["requests_per_second"])
    assert 0 < found[0]["median_ms"] <= found[0]["p95_ms"] <= found[0]["p99_ms"]
    assert found[0]["tokens"] >= 40 * 6


def test_endpoints_side_by_side_with_ratio_and_picture(serve: Serve, tmp_path: Path) -> None:
    one, other, png = TEI(), OpenAIServer(), tmp_path / "latencies.png"

    result = benched(
        f"tei+{serve(one)}", f"{serve(other)}/v1", "-n", "12", "--warm-up", "2", "--png", str(png)
    )

    assert result.exit_code == 0, result.output
    lines = {line.split("  ")[0].strip(): line for line in result.stdout.splitlines()}
    assert "100.0% (12/12)" in lines["success rate"]
    assert "×" in lines["texts/s"]
    assert "×" in lines["p99"]
    assert png.read_bytes().startswith(b"\x89PNG")


def test_all_endpoints_get_the_same_texts_and_a_file_is_read(serve: Serve, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("bees make honey\nrust never sleeps\n")
    server = TEI()

    result = benched(f"tei+{serve(server)}", "-n", "3", "--texts", str(texts), "--warm-up", "0")

    assert result.exit_code == 0
    assert "2 texts for 3: they are sent several times" in result.stderr
    sent = [asked.body for asked in server.seen if asked.method == "POST"][1:]
    assert sum(b"bees make honey" in body for body in sent) == 2


class _Slow(TEI):
    """Answers one request after the other, each after 50 ms."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            await asyncio.sleep(0.05)
        await super().__call__(scope, receive, send)


def test_latency_counts_from_when_a_request_was_due(serve: Serve) -> None:
    """With one slot, 50 ms an answer and a request every 5 ms, the last one waits for all."""
    options = ["--rate", "200", "--concurrency", "1", "-n", "12", "--warm-up", "0"]

    code, found = figures(f"tei+{serve(_Slow())}", *options)

    assert code == 0
    assert found[0]["max_ms"] > 350
    assert found[0]["median_ms"] > 150
    assert found[0]["waited"] > 5
    assert "were due while all --concurrency slots were taken" in (
        benched(f"tei+{serve(_Slow())}", *options).stdout
    )


def test_arrivals_keep_to_the_rate(serve: Serve) -> None:
    code, found = figures(f"tei+{serve(TEI())}", "--rate", "100", "-n", "60", "--warm-up", "1")

    assert code == 0
    assert 55 < found[0]["requests_per_second"] < 170


class _Same(TEI):
    def vectors(self, texts: Any) -> Any:
        return super().vectors(["x"] * len(texts))


class _Failing(TEI):
    posts = 0

    def answer(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            self.posts += 1
            if self.posts > 3:
                return Answer(500, b"{}")
        return super().answer(asked)


@pytest.mark.parametrize(
    ("server", "named"),
    [
        (_Same(), "BadReply: different texts have the same vector"),
        (TEI(later={"spoil": "nan"}), "BadVector: the upstream gave a vector with a number"),
        (TEI(later={"dimensions": 4}), "BadReply: vectors of another size: 4 numbers, 8 before"),
        (_Failing(), "Upstream"),
    ],
)
def test_wrong_answers_are_errors_and_named(serve: Serve, server: TEI, named: str) -> None:
    # With the model's name, nothing but texts is asked: the first answer is right.
    code, found = figures(f"tei+{serve(server)}#model", "-n", "5", "--warm-up", "0")

    assert code == 1
    assert found[0]["success_rate"] < 1
    assert any(named in error for error in found[0]["errors"]), found
    assert found[0]["requests"] == 5


def test_what_does_not_answer_at_all_is_one_message() -> None:
    result = benched(f"http://127.0.0.1:{free_port()}/v1", "-n", "5")

    assert result.exit_code == 1
    assert "nothing listens there" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("rate", ["0", "-1", "fast", "nan"])
def test_a_rate_is_a_number(rate: str) -> None:
    result = benched("local", "--rate", rate)

    assert result.exit_code == 2
    assert "requests a second" in " ".join(result.stderr.replace("│", " ").split())


def test_the_gateway_and_the_local_model(gateway: GatewayProcess) -> None:
    code, found = figures("local", f"{gateway.root}/v1", "-n", "6", "--warm-up", "1")

    assert code == 0
    assert [one["succeeded"] for one in found] == [6, 6]
    assert found[0]["mean_length"] == found[1]["mean_length"] == 66.0
    assert found[0]["own_ms_per_request"] is None
    assert found[1]["own_ms_per_request"] > 0


class _Signal(TEI):
    """Tells when so many requests have come."""

    enough = threading.Event()

    def answer(self, asked: Asked) -> Answer:
        if len(self.seen) > 20:
            self.enough.set()
        return super().answer(asked)


def test_an_interruption_prints_what_was_measured(serve: Serve) -> None:
    server = _Signal()
    command = [sys.executable, "-m", "embedway_gateway", "bench", f"tei+{serve(server)}"]
    process = subprocess.Popen(
        [*command, "-n", "100000", "--rate", "100"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        assert server.enough.wait(30)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 130, err
    assert "this is what was measured so far" in err
    assert "success rate" in out
    assert "100.0% (" in out


def test_a_generator_that_is_the_bottleneck_is_told() -> None:
    tally = Tally("there", "m", is_local=False, latencies=[0.01] * 100, active=1.0, processor=0.95)

    said = Result.of(tally).doubts(is_open=False)

    assert len(said) == 1
    assert "the load generator itself is the bottleneck, it used 95% of a core" in said[0]
