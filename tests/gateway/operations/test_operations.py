"""The dashboard and the alerts, before a real Prometheus that watches a real gateway."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from doubles.configured import Configured
from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.prometheus_server import PrometheusServer, program, running_prometheus
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app

OPERATIONS = Path(__file__).parents[3] / "gateway" / "operations"
DASHBOARD = json.loads((OPERATIONS / "dashboard.json").read_text("utf-8"))
RULES = yaml.safe_load((OPERATIONS / "alerts.yaml").read_text("utf-8"))["groups"][0]["rules"]
TESTS = yaml.safe_load((OPERATIONS / "alerts_test.yaml").read_text("utf-8"))["tests"]
# Marked so on the dashboard itself.
MAY_BE_EMPTY = ("Empty while all is well.", "Empty until the file changes.")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions(panel: dict[str, Any]) -> list[str]:
    """As Grafana would ask, with everything chosen."""
    return [
        target["expr"].replace("$__rate_interval", "4s").replace("$model", ".*")
        for target in panel["targets"]
    ]


def names(expression: str) -> set[str]:
    found = re.findall(r"\bembedway_\w+", expression)
    return {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in found}


class Load:
    """Requests without a pause, until the block ends."""

    def __init__(self, url: str, secrets: list[str]) -> None:
        self._url, self._secrets = url, secrets
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(20)

    async def _run(self) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=20) as client:
            number = 0
            while not self._over.is_set():
                number += 1
                texts = [[f"fresh {number} {place}"] for place in range(4)]
                await asyncio.gather(*(self._ask(client, item) for item in [*texts, ["known"]]))
                await asyncio.sleep(0.05)

    async def _ask(self, client: httpx.AsyncClient, texts: list[str]) -> None:
        secret = self._secrets[len(texts[0]) % len(self._secrets)]
        await client.post(
            "/v1/embeddings",
            json={"model": "model", "input": texts},
            headers={"authorization": f"Bearer {secret}"},
        )


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("operations")
    made, keys, plain = Configured(folder), Keys(folder), OpenAIUpstream()
    admin, app_key = keys.make("admin", admin=True), keys.make("app")
    with made.open:
        file = made.oci(OpenAIUpstream(), engine="openai", invoke="suffix", max_concurrency=2)
        other = {"name": "other", "engine": "openai", "url": made.serve(plain)}
        file["models"][0]["upstreams"].append({**other, "max_concurrency": 2})
        file |= {"server": {"keys": str(keys.path)}, "cache": {"type": "memory"}}
        file["usage"] = {"type": "none"}
        with served(create_app(Config.model_validate(file), metrics=Metrics())) as url:
            target = urlsplit(url).netloc
            rules = OPERATIONS / "alerts.yaml"
            with (
                Load(url, [admin, app_key]),
                running_prometheus(folder, target, rules=rules, key=admin) as server,
            ):
                yield server


def test_every_query_of_the_dashboard_gives_data(prometheus: PrometheusServer) -> None:
    end = time.monotonic() + 60
    missing = {
        (panel["title"], expression)
        for panel in panels()
        if not panel["description"].startswith(MAY_BE_EMPTY)
        for expression in expressions(panel)
    }
    assert len(missing) >= 35
    while missing:
        missing = {(title, one) for title, one in missing if not _gives_data(prometheus, one)}
        assert time.monotonic() < end, sorted(missing)
        time.sleep(0.3)


def _gives_data(server: PrometheusServer, expression: str) -> bool:
    return any(row["value"][1] != "NaN" for row in server.query(expression))


def test_queries_about_trouble_are_understood_and_a_healthy_gateway_fires_no_alert(
    prometheus: PrometheusServer,
) -> None:
    for panel in panels():
        for expression in expressions(panel):
            prometheus.query(expression)
    (group,) = prometheus.ask("rules")["groups"]

    assert {rule["alert"] for rule in RULES} == {rule["name"] for rule in group["rules"]}
    assert {"ok", "unknown"} >= {rule["health"] for rule in group["rules"]}
    assert [] == prometheus.ask("alerts")["alerts"]


def test_dashboard_and_alerts_use_no_metric_that_is_not_there() -> None:
    known = {metric.name for metric in Metrics().registry.collect()}
    used = {name for panel in panels() for one in expressions(panel) for name in names(one)}
    alerts = {name for rule in RULES for name in names(rule["expr"])}

    assert used - known == set()
    assert alerts - known == set()
    # A metric that nobody looks at is not worth its memory.
    assert known - used == set()


def test_what_the_gateway_takes_is_shown_for_a_local_model(tmp_path: Path) -> None:
    """Nothing is signed or decoded for it; the series are there, and stay 0."""
    (panel,) = (one for one in panels() if one["title"] == "What the gateway takes")
    (target,) = panel["targets"]
    asked = target["expr"].replace("$__rate_interval", "5m").replace("$model", ".*")
    rising = {"parse": ("0+1x20", "0+2x20"), "encode": ("0+3x20", "0+2x20")}
    series = [
        {"series": f'embedway_phase_seconds_{kind}{{model="m",phase="{phase}"}}', "values": values}
        for phase in ("parse", "sign", "upstream", "decode", "encode")
        for kind, values in zip(("sum", "count"), rising.get(phase, ("0x20", "0x20")), strict=True)
    ]
    wanted = {"expr": asked, "eval_time": "15m", "exp_samples": [{"labels": "{}", "value": 2.0}]}
    tests = [{"interval": "1m", "input_series": series, "promql_expr_test": [wanted]}]
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": tests}))
    command = [program("promtool"), "test", "rules", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_cover_each_other() -> None:
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", "alerts.yaml"),
        ("check", "config", "prometheus.yaml"),
        ("test", "rules", "alerts_test.yaml"),
    ],
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(
        [program("promtool"), *arguments],
        cwd=OPERATIONS,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_both_ways() -> None:
    tested = {
        (test["alertname"], bool(test["exp_alerts"]))
        for one in TESTS
        for test in one["alert_rule_test"]
    }

    assert tested == {(rule["alert"], fires) for rule in RULES for fires in (True, False)}
