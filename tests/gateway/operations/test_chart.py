"""The chart, rendered by Helm and held against Kubernetes' own schemas."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from doubles.operations_environment import OPERATIONS
from embedway_gateway.config.load import load_config
from embedway_gateway.config.watch import SETTLED

CHART = OPERATIONS / "helm" / "embedway"
SCRIPT = Path(__file__).parents[2] / "doubles" / "chart_script.py"
DOCUMENT = Path(__file__).parents[3] / "docs" / "operations.md"
KEYS = {"keys": {"existingSecret": "embedway-keys"}}
# The oldest that Chart.yaml allows, and a new one.
VERSIONS = ["1.27", "1.34"]

CASES: dict[str, dict[str, Any]] = {
    "plain": KEYS,
    "full": {
        **KEYS,
        "config": {
            "server": {"open_models": True},
            "cache": {"type": "memory", "max_bytes": "1GiB"},
        },
        "image": {"digest": "sha256:" + "a" * 64},
        "imagePullSecrets": ["registry"],
        "workers": 2,
        "env": {"HTTPS_PROXY": "http://proxy:3128", "SOME_NUMBER": 7},
        "secretEnv": [{"name": "TEI_KEY", "secret": "tei", "key": "token"}],
        "secretFiles": [{"name": "oci", "secret": "oci-profile", "path": "/run/secrets/oci"}],
        "drain": {"delaySeconds": 7, "graceSeconds": 90},
        "ociWorkloadIdentity": {"enabled": True, "region": "us-ashburn-1"},
        "modelStore": {"type": "persistentVolumeClaim", "existingClaim": "models"},
        "autoscaling": {"enabled": True, "metric": "inFlight"},
        "networkPolicy": {
            "from": [{"namespaceSelector": {"matchLabels": {"team": "search"}}}],
            "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
            "upstreamPorts": [443, 8443],
            "egress": [
                {
                    "to": [{"podSelector": {"matchLabels": {"app": "redis"}}}],
                    "ports": [{"port": 6379}],
                }
            ],
        },
        "serviceMonitor": {"enabled": True, "keySecret": "embedway-metrics"},
        "podLabels": {"team": "platform"},
        "podAnnotations": {"note": "x"},
        "nodeSelector": {"pool": "cpu"},
        "tolerations": [{"key": "pool", "operator": "Exists"}],
        "priorityClassName": "high",
    },
    "cpu": {**KEYS, "autoscaling": {"enabled": True}},
    "bare": {
        **KEYS,
        "podDisruptionBudget": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "serviceAccount": {"create": False},
    },
    "oidc": {
        "config": {
            "server": {
                "oidc": {
                    "issuer": "https://id.example",
                    "audience": "a",
                    "jwks_url": "https://id.example/jwks",
                }
            }
        }
    },
    "another model": {**KEYS, "config": {"cache": {"type": "memory", "max_bytes": "1GiB"}}},
    "another limit": {**KEYS, "config": {"limits": {"type": "memory"}}},
    "another trace": {**KEYS, "config": {"tracing": {"service": "other"}}},
    "own user": {**KEYS, "runAsId": 1000660000},
    "no keys": {},
    "own grace": {**KEYS, "config": {"server": {"grace": "3s"}}},
    "no region": {**KEYS, "ociWorkloadIdentity": {"enabled": True}},
    "no claim": {**KEYS, "modelStore": {"type": "persistentVolumeClaim"}},
    "misspelt": {**KEYS, "replica": 3},
    "tag as digest": {**KEYS, "image": {"digest": "latest"}},
}


@pytest.fixture(scope="module")
def helm(tools: Path) -> dict[str, Any]:
    asked = json.dumps({"chart": str(CHART), "versions": VERSIONS, "cases": CASES})
    done = subprocess.run(
        [str(tools), str(SCRIPT)], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def documents(helm: dict[str, Any], case: str) -> dict[str, dict[str, Any]]:
    answer = helm["cases"][case]
    assert "error" not in answer, answer
    return {one["kind"]: one for one in answer["documents"]}


def pod(helm: dict[str, Any], case: str) -> dict[str, Any]:
    spec: dict[str, Any] = documents(helm, case)["Deployment"]["spec"]["template"]["spec"]
    return spec


def test_helm_finds_nothing_to_complain_about(helm: dict[str, Any]) -> None:
    """An icon is the one thing that it misses."""
    assert helm["lint"]["errors"] == []
    assert [one["error"] for one in helm["lint"]["messages"]] == ["icon is recommended"]


def test_what_is_switched_on_is_there_and_what_is_off_is_not(helm: dict[str, Any]) -> None:
    always = {"ConfigMap", "Deployment", "Service"}
    usual = always | {"NetworkPolicy", "PodDisruptionBudget", "ServiceAccount"}
    assert set(documents(helm, "bare")) == always
    assert set(documents(helm, "plain")) == usual
    assert set(documents(helm, "full")) == usual | {"HorizontalPodAutoscaler", "ServiceMonitor"}


def test_metrics_are_those_of_the_job_that_the_alert_rules_ask_for(helm: dict[str, Any]) -> None:
    label = documents(helm, "full")["ServiceMonitor"]["spec"]["jobLabel"]
    assert documents(helm, "full")["Service"]["metadata"]["labels"][label] == "embedway"


@pytest.mark.parametrize("case", ["plain", "full", "oidc"])
def test_the_configuration_is_one_that_the_gateway_takes(
    helm: dict[str, Any], case: str, tmp_path: Path
) -> None:
    path = tmp_path / "embedway.yaml"
    path.write_text(documents(helm, case)["ConfigMap"]["data"]["embedway.yaml"])
    config = load_config(path, {})

    assert config.server.host == "0.0.0.0"
    assert config.server.port == 8080
    assert config.server.guarded


@pytest.mark.parametrize("case", ["plain", "full"])
def test_kubernetes_waits_longer_than_the_gateway_drains(
    helm: dict[str, Any], case: str, tmp_path: Path
) -> None:
    path = tmp_path / "embedway.yaml"
    path.write_text(documents(helm, case)["ConfigMap"]["data"]["embedway.yaml"])
    server = load_config(path, {}).server

    assert server.drain_delay >= 5
    patience = pod(helm, case)["terminationGracePeriodSeconds"]
    assert patience >= server.drain_delay + server.grace + 5


def test_the_pod_is_locked_down(helm: dict[str, Any]) -> None:
    """As Kubernetes' `restricted` asks, with a read-only file system besides."""
    spec = pod(helm, "full")
    (container,) = spec["containers"]

    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "emptyDir", "persistentVolumeClaim", "secret"}
    assert "hostNetwork" not in spec


def test_secrets_are_named_and_never_held(helm: dict[str, Any]) -> None:
    assert "Secret" not in documents(helm, "full")
    (container,) = pod(helm, "full")["containers"]
    found = {one["name"]: one for one in container["env"]}
    assert found["TEI_KEY"]["valueFrom"] == {"secretKeyRef": {"name": "tei", "key": "token"}}
    # Others than the owner and the process' own group read nothing.
    modes = [
        one["secret"]["defaultMode"] for one in pod(helm, "full")["volumes"] if "secret" in one
    ]
    assert modes == [0o440, 0o440]


def test_only_workload_identity_brings_a_token_into_the_pod(helm: dict[str, Any]) -> None:
    assert pod(helm, "plain")["automountServiceAccountToken"] is False
    spec = pod(helm, "full")
    assert spec["automountServiceAccountToken"] is True
    found = {one["name"]: one.get("value") for one in spec["containers"][0]["env"]}
    assert found["OCI_RESOURCE_PRINCIPAL_VERSION"] == "2.2"
    assert found["OCI_RESOURCE_PRINCIPAL_REGION"] == "us-ashburn-1"
    egress = documents(helm, "full")["NetworkPolicy"]["spec"]["egress"]
    assert [{"port": 12250, "protocol": "TCP"}] in [rule["ports"] for rule in egress]


def test_an_upstream_that_is_down_restarts_no_pod(helm: dict[str, Any]) -> None:
    (container,) = pod(helm, "plain")["containers"]
    paths = {
        name: container[f"{name}Probe"]["httpGet"]["path"]
        for name in ("startup", "liveness", "readiness")
    }
    assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}


def test_the_chart_and_the_gateway_agree_on_what_needs_a_restart() -> None:
    template = (CHART / "templates" / "deployment.yaml").read_text()
    (line,) = (one for one in template.splitlines() if "checksum/restart" in one)
    assert set(re.findall(r'"(\w+)"', line.partition("fromYaml")[2])) == {"server", *SETTLED}


def test_a_large_user_id_is_a_whole_number(helm: dict[str, Any]) -> None:
    """As OpenShift gives out."""
    found = pod(helm, "own user")["securityContext"]
    assert {found[name] for name in ("runAsUser", "runAsGroup", "fsGroup")} == {1000660000}
    assert isinstance(found["runAsUser"], int)


def test_what_cannot_change_while_it_runs_starts_new_pods(helm: dict[str, Any]) -> None:
    def checksum(case: str) -> str:
        template = documents(helm, case)["Deployment"]["spec"]["template"]
        found: str = template["metadata"]["annotations"]["checksum/restart"]
        return found

    assert checksum("another model") == checksum("plain")
    assert checksum("another limit") != checksum("plain")
    assert checksum("another trace") != checksum("plain")
    assert checksum("full") != checksum("plain")


def test_it_scales_by_processor_or_by_what_is_under_way(helm: dict[str, Any]) -> None:
    def metric(case: str) -> dict[str, Any]:
        (found,) = documents(helm, case)["HorizontalPodAutoscaler"]["spec"]["metrics"]
        return dict(found)

    assert metric("cpu")["resource"]["target"]["averageUtilization"] == 70
    assert metric("full")["pods"]["metric"]["name"] == "embedway_upstream_in_flight"
    # Or each upgrade would undo what the autoscaler did.
    assert "replicas" not in documents(helm, "cpu")["Deployment"]["spec"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("no keys", "keys.existingSecret is needed"),
        ("own grace", "/config/server"),
        ("no region", "ociWorkloadIdentity.region is needed"),
        ("no claim", "modelStore.existingClaim is needed"),
        ("misspelt", "replica"),
        ("tag as digest", "digest"),
    ],
)
def test_a_mistake_is_named(helm: dict[str, Any], case: str, words: str) -> None:
    assert words in helm["cases"][case]["error"]


def test_the_version_is_the_packages() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = (OPERATIONS.parents[1] / "pyproject.toml").read_text()

    assert f'version = "{chart["appVersion"]}"' in project


def test_every_value_has_a_line_in_the_document_and_a_place_in_the_schema() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    told = dict(re.findall(r"^\| `([\w.]+)` \| `([^|]*)` \|", DOCUMENT.read_text(), re.MULTILINE))
    expected = {}
    for path, value in _leaves(values):
        expected[path] = json.dumps(value) if not isinstance(value, str) else value or '""'
        place = schema
        for step in path.split("."):
            place = place["properties"][step]

    assert told == expected


def _leaves(values: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """What the table lists: `config` and `resources` are the user's own."""
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and path not in {"config", "resources"}:
            found += _leaves(value, f"{path}.")
        elif path not in {"config", "resources"}:
            found.append((path, value))
    return found
