"""The compose file, read as the Compose Specification says, and what its containers are given."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from doubles.image import instructions
from doubles.operations_environment import OPERATIONS
from embedway_gateway.config.load import load_config

FOLDER = OPERATIONS / "compose"
FILE = FOLDER / "compose.yaml"
# What is made on the spot, and never committed; see docs/operations.md.
MADE = ("secrets/",)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["services"]
    return found


def test_it_is_by_the_specification(tools: Path) -> None:
    """The merge keys are YAML's: resolved first, as Compose does."""
    script = (
        "import sys\n"
        "from compose_spec import PyCompose\n"
        "PyCompose.from_json(sys.stdin.read()).validate()\n"
    )
    # As Compose does it: variables first.
    text = re.sub(
        r"\$\{\w+(?::-([^}]*)|:\?[^}]*)\}", lambda match: match[1] or "x", FILE.read_text()
    )
    asked = json.dumps(yaml.safe_load(text))
    done = subprocess.run(
        [str(tools), "-c", script], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_container_is_locked_down(services: dict[str, Any]) -> None:
    assert set(services) == {"gateway", "redis", "cache", "prometheus", "grafana"}
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in service


def test_nothing_listens_beyond_loopback(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 3
    assert all(port.startswith("127.0.0.1:") for port in ports)
    for name in ("redis", "cache"):
        assert services[name]["networks"] == ["inside"]
        assert "ports" not in services[name]
    assert yaml.safe_load(FILE.read_text())["networks"]["inside"]["internal"] is True


def test_every_image_has_a_version(services: dict[str, Any]) -> None:
    for service in services.values():
        tag = service["image"].partition(":")[2]
        assert re.match(r"v?[0-9]+\.[0-9]|\$\{EMBEDWAY_VERSION:-[0-9]", tag)


def test_the_gateway_takes_the_configuration_that_is_mounted(services: dict[str, Any]) -> None:
    config = load_config(FOLDER / "config" / "embedway.yaml", {"REDIS_PASSWORD": "x"})
    assert config.server.guarded
    assert "--host" in services["gateway"]["command"]
    patience = int(services["gateway"]["stop_grace_period"].removesuffix("s"))
    assert patience >= config.server.grace + config.server.drain_delay + 5


def test_where_things_are_mounted_is_where_the_image_expects_them(services: dict[str, Any]) -> None:
    found = dict(instructions((OPERATIONS / "Dockerfile").read_text()))
    targets = {mount["target"] for mount in services["gateway"]["volumes"]}
    assert found["VOLUME"] in targets
    assert json.loads(found["CMD"])[2].startswith("/etc/embedway/")
    assert "/etc/embedway" in targets
    assert services["gateway"]["command"][:3] == json.loads(found["CMD"])[:3]


def test_every_file_that_is_mounted_is_here(services: dict[str, Any]) -> None:
    sources = [
        mount["source"]
        for service in services.values()
        for mount in service.get("volumes", [])
        if mount["type"] == "bind"
    ]
    assert len(sources) == 5
    missing = {name for name in sources if not (FOLDER / name).exists()}
    # Both or neither.
    assert missing in (set(), {"../alerts.yaml", "../dashboard.json"})


def test_what_counts_is_not_evicted_and_what_is_cached_is(services: dict[str, Any]) -> None:
    assert "--maxmemory-policy noeviction" in services["redis"]["command"][2]
    assert "--maxmemory-policy allkeys-lru" in services["cache"]["command"][2]
    values = yaml.safe_load((FOLDER / "config" / "embedway.yaml").read_text())
    hosts = {name: values[name]["url"].partition("@")[2] for name in ("cache", "limits", "usage")}
    assert hosts == {"cache": "cache:6379/0", "limits": "redis:6379/0", "usage": "redis:6379/0"}


def test_secrets_are_not_committed() -> None:
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert ignored == ["/.env", "/secrets/"]
    for one in yaml.safe_load(FILE.read_text())["secrets"].values():
        assert one["file"].removeprefix("./").startswith(MADE)


def test_prometheus_takes_its_configuration(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    assert promtool, "these tests need promtool: apt-get install prometheus"
    values = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    key = tmp_path / "metrics.key"
    key.write_text("ew-x")
    values["scrape_configs"][0]["authorization"]["credentials_file"] = str(key)
    rules = OPERATIONS / "alerts.yaml"
    values["rule_files"] = [str(rules)] if rules.is_file() else []
    path = tmp_path / "prometheus.yml"
    path.write_text(yaml.safe_dump(values))
    done = subprocess.run(
        [promtool, "check", "config", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
