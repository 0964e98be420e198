"""Where spans are sent, and that nothing is even loaded where they are not made."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from doubles.gateway_process import running_gateway
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port, served
from doubles.traced import Collector
from embedway_gateway.config.schema import Config
from embedway_gateway.config.tracing import TracingConfig, make_tracing

SECRET = "planted-collector-key"
_VARIABLES = (
    *("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"),
    *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"),
)


@pytest.fixture(autouse=True)
def nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


def file(url: str, **tracing: Any) -> dict[str, Any]:
    upstream = {"name": "up", "engine": "openai", "url": url}
    model = {"name": "m", "dimensions": 8, "upstreams": [upstream]}
    return {"models": [model], **({"tracing": tracing} if tracing else {})}


def test_a_gateway_sends_its_spans_to_the_collector_and_all_of_them_before_it_ends(
    tmp_path: Path,
) -> None:
    collector = Collector()
    with served(OpenAIUpstream()) as upstream, served(collector) as url:
        config = tmp_path / "embedway.yaml"
        made = file(upstream, endpoint=url, headers={"api-key": SECRET}, service="ours")
        config.write_text(yaml.safe_dump(made))
        with running_gateway("--config", str(config)) as gateway:
            gateway.wait_ready()
            body = {"model": "m", "input": ["one", "two"]}
            answer = httpx.post(f"{gateway.base_url}/embeddings", json=body, timeout=20)
            assert answer.status_code == 200
            assert gateway.stop() == 0
            log = gateway.log

    names = {span.name: span for span in collector.spans}
    assert {"POST /v1/embeddings", "embeddings m"} <= names.keys()
    assert {"ours"} == collector.services
    assert {"/v1/traces"} == set(collector.paths)
    assert all(headers["api-key"] == SECRET for headers in collector.headers)
    (line,) = (json.loads(line) for line in log if '"tokens"' in line)
    assert line["trace_id"] == names["POST /v1/embeddings"].trace_id.hex()
    assert SECRET not in "".join(log)


async def test_a_collector_that_is_away_costs_no_request_and_holds_up_no_end() -> None:
    tracing = make_tracing(TracingConfig(endpoint=f"http://127.0.0.1:{free_port()}"))
    assert tracing is not None
    tracing.server("a", {}).end()

    await asyncio.wait_for(tracing.close(), 20)


async def test_opentelemetrys_own_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector()
    with served(collector) as url:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "by-variable")
        tracing = make_tracing(None)
        assert tracing is not None
        tracing.server("a", {}).end()
        await tracing.close()

    assert {"by-variable"} == collector.services
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    assert make_tracing(None) is None
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert make_tracing(None) is None
    assert make_tracing(TracingConfig()) is None


async def test_the_share_that_is_sampled_holds_where_the_caller_did_not_decide() -> None:
    collector = Collector()
    with served(collector) as url:
        tracing = make_tracing(TracingConfig(endpoint=url, sample=0.0))
        assert tracing is not None
        tracing.server("ours", {}).end()
        stated = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        tracing.server("theirs", {"traceparent": stated}).end()
        await tracing.close()

    assert ["theirs"] == [span.name for span in collector.spans]


def test_without_tracing_nothing_of_it_is_loaded() -> None:
    code = f"""
import sys
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app
create_app(Config.model_validate({file("http://127.0.0.1:1")!r}))
_TRACING = ("opentelemetry.sdk", "opentelemetry.exporter", "embedway_gateway.tracing")
print([name for name in sys.modules if name.startswith(_TRACING)])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_missing_extra_is_told_in_a_sentence(tmp_path: Path, workers: str) -> None:
    config = tmp_path / "embedway.yaml"
    config.write_text(yaml.safe_dump(file("http://127.0.0.1:1", endpoint="http://127.0.0.1:1")))
    code = f"""
import sys
sys.modules["opentelemetry.exporter"] = None
sys.argv = ["embedway", "serve", "--config", {str(config)!r}, "--workers", "{workers}"]
from embedway_gateway.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )

    assert 1 == done.returncode
    told = 'opentelemetry is not installed, and this needs it: pip install "embedway[otel]"'
    assert told in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "endpoint", ["collector:4318", "ftp://collector", "http://user:secret@collector", "http://"]
)
def test_an_endpoint_that_is_no_address_is_refused_without_repeating_it(endpoint: str) -> None:
    with pytest.raises(ValueError, match="endpoint must") as caught:
        Config.model_validate(file("http://127.0.0.1:1", endpoint=endpoint))

    assert "user:secret" not in str(caught.value)
