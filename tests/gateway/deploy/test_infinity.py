"""infinity on AI Core: from nothing to vectors, once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from doubles import engine_infinity
from doubles.aicore_cloud import AICoreCloud
from doubles.authority import Authority
from doubles.infinity_environment import infinity_python
from doubles.proxy import Proxy, proxying
from doubles.serving import served
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy.aicore.client import AICoreAPI
from embedway_deploy.aicore.place import AICorePlace
from embedway_deploy.aicore.step import Executable
from embedway_deploy.cloud import Cloud
from embedway_deploy.error import DeployError, HealthCheckFailed, Refused
from embedway_deploy.infinity.plan import Infinity, plan_infinity
from embedway_deploy.lifecycle import apply, destroy, logs, status
from embedway_deploy.login import SignIn
from embedway_deploy.order import NamedModel
from embedway_deploy.plan import Plan, load_plan
from embedway_deploy.run import Run
from embedway_gateway.cli.app import application
from embedway_gateway.config.schema import Config
from embedway_gateway.discovery import AICoreSource
from embedway_gateway.web.app import create_app
from embedway_gateway.wire import WireTransport
from embedway_local import LocalEmbedder
from embedway_upstream.credentials.oauth2 import ClientCredentials, Login
from embedway_upstream.proxy import read_proxies

SCENARIO = "scenario"


@dataclass(kw_only=True)
class TrueInfinity(engine_infinity.Infinity):
    """An infinity with a real model."""

    embedder: LocalEmbedder

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embedder.embed(list(texts), input_type=None)


@dataclass
class Group:
    """A resource group, and the model that is deployed to it."""

    cloud: AICoreCloud
    folder: Path
    model: str
    embedder: LocalEmbedder
    bindings: list[dict[str, str]] = field(default_factory=list)

    def plan(self, *, read: bool = True, **server: Any) -> Plan:
        """`read`: AI Core has read the template."""
        named = NamedModel(model=self.model, home=self.folder / "home")
        facts = {"image": "registry.example.com/infinity:0.0.77", "object_store": "store"}
        place = AICorePlace(api_url=self.cloud.url, scenario_id=SCENARIO)
        plan = plan_infinity(named, place, infinity=Infinity(**{**facts, **server}))
        if read:
            self.cloud.read_template(template_of(plan))
        return plan

    def run(self, plan: Plan) -> Run:
        assert isinstance(plan.place, AICorePlace)
        login = Login(
            token_url=f"{self.cloud.url}/oauth/token",
            client_id="client",
            client_secret="planted-secret",
        )
        credentials = ClientCredentials(login, proxy_of=read_proxies().of)
        cloud = Cloud(SignIn(credentials), plan.place)
        return Run(plan=plan, cloud=cloud, sleep=lambda _seconds: None)

    def serve(self, configuration: dict[str, Any]) -> Any:
        values = {one["key"]: one["value"] for one in configuration["parameterBindings"]}
        self.bindings.append(values)
        size = self.embedder.dimensions
        return TrueInfinity(
            model=values["modelName"],
            prefix=values["urlPrefix"],
            embedder=self.embedder,
            dimensions=size,
        )


def template_of(plan: Plan) -> str:
    step = plan.step("executable")
    assert isinstance(step, Executable)
    return (Path(step.source.folder) / "serving-template.yaml").read_text()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    model = str(write_tiny_bert(tmp_path / "tiny"))
    with LocalEmbedder(model) as embedder:
        made = Group(AICoreCloud(), tmp_path, model, embedder)
        made.cloud.serve = made.serve
        with served(made.cloud) as url:
            made.cloud.url = url
            yield made


def test_from_nothing_to_vectors_once(group: Group) -> None:
    plan = group.plan()

    done = apply(group.run(plan))

    assert {"present"} == {one.state.status for one in done}
    assert float(done[-1].state.facts["cosine"]) > 0.99999
    assert "tiny" == group.bindings[0]["modelName"]
    before = list(group.cloud.changes)
    assert ["artifacts", "configurations", "deployments"] == [
        one.rpartition("/")[2] for one in before
    ]
    again = apply(group.run(load(plan, group)))
    assert before == group.cloud.changes
    assert not [one.step for one in again if one.changed]


def test_beyond_a_proxy_all_of_it_goes_through(
    group: Group, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The login, the API, and the check of what was deployed."""
    authority, proxy = Authority(tmp_path), Proxy()
    with served(group.cloud, tls=authority.server("aicore.example")) as url, proxying(proxy) as own:
        proxy.port = int(url.rpartition(":")[2])
        group.cloud.url = "https://aicore.example"
        for name in ("ALL_PROXY", "NO_PROXY", "HTTPS_PROXY"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.lower(), raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{own}")
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        done = apply(group.run(group.plan()))

    assert float(done[-1].state.facts["cosine"]) > 0.99999
    assert b"CONNECT aicore.example:443 HTTP/1.1" in proxy.lines


def load(plan: Plan, group: Group) -> Plan:
    kept = group.folder / "plan.yaml"
    kept.write_text(plan.dump(), "utf-8")
    return load_plan(kept)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_interrupted_anywhere_it_goes_on(
    group: Group, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    plan = group.plan()
    with monkeypatch.context() as patch:
        real, count = AICoreAPI.create, [0]

        def interrupted(api: AICoreAPI, path: str, body: dict[str, object]) -> str:
            made = real(api, path, body)
            count[0] += 1
            if count[0] == at:
                raise KeyboardInterrupt
            return made

        patch.setattr(AICoreAPI, "create", interrupted)
        with pytest.raises(KeyboardInterrupt):
            apply(group.run(plan))

    apply(group.run(plan))

    cloud = group.cloud
    assert (1, 1, 1) == (len(cloud.artifacts), len(cloud.configurations), len(cloud.deployments))


def test_other_values_update_in_place_and_destroy_leaves_no_deployment(group: Group) -> None:
    apply(group.run(group.plan()))
    plan = group.plan(batch_size=64)

    done = apply(group.run(plan))

    assert {"configuration", "deployment"} == {one.step for one in done if one.changed}
    assert 1 == len(group.cloud.deployments)
    assert "64" == group.bindings[-1]["batchSize"]
    looked = status(group.run(plan))
    assert {"present", "unknown"} == {one.state.status for one in looked}
    destroy(group.run(plan))
    assert [] == group.cloud.deployments
    assert not any(one.changed for one in destroy(group.run(plan)))


def test_one_that_dies_says_why_and_is_made_anew(group: Group) -> None:
    plan = group.plan()
    group.cloud.fate.append(("DEAD", "readiness: health check did not become ready"))
    group.cloud.printed.append("/mnt/models has no config.json")

    with pytest.raises(HealthCheckFailed, match=r"(?s)AI Core says: readiness.*no config\.json"):
        apply(group.run(plan))

    assert ["2026-01-01T00:00:00Z /mnt/models has no config.json"] == logs(group.run(plan))
    assert "present" == apply(group.run(plan))[-1].state.status
    assert 1 == len(group.cloud.deployments)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda text: None, "has no executable embedway-infinity: commit"),
        (lambda text: text.replace("name: dtype", "name: other"), "does not know dtype"),
        (lambda text: text.replace("Embedway, ", "Embedway, 0"), "another version of the template"),
    ],
)
def test_a_template_that_is_not_read_is_refused(group: Group, spoil: Any, words: str) -> None:
    plan = group.plan(read=False)
    if content := spoil(template_of(plan)):
        group.cloud.read_template(content)

    with pytest.raises(Refused, match=words):
        apply(group.run(plan))

    assert [] == group.cloud.changes


def test_wrong_input_is_refused(group: Group) -> None:
    with pytest.raises(Refused, match="names no version"):
        group.plan(image="registry.example.com/infinity")
    with pytest.raises(Refused, match="executable_id"):
        group.plan(executable_id="a b")
    with pytest.raises(ValueError, match="https://"):
        AICorePlace(api_url="http://example.com", scenario_id=SCENARIO)
    config = Path(group.model) / "config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "auto_map": {"AutoModel": "x"}})
    )
    with pytest.raises(Refused, match="auto_map"):
        group.plan()


def test_a_wrong_group_is_told(group: Group) -> None:
    plan = group.plan()
    group.cloud.resource_group = "another"

    with pytest.raises(DeployError, match="resource group 'default'"):
        apply(group.run(plan))


def test_the_template_is_what_ai_core_reads(group: Group) -> None:
    read = yaml.safe_load(template_of(group.plan()))
    inputs, inner = read["spec"]["inputs"], read["spec"]["template"]

    assert ("ai.sap.com/v1alpha1", "ServingTemplate") == (read["apiVersion"], read["kind"])
    assert {"string"} == {one["type"] for one in inputs["parameters"]}
    names = {one["name"] for one in inputs["parameters"]}
    everything = "".join(inner["metadata"].values()) + inner["spec"]
    assert names == set(re.findall(r"\{\{inputs\.parameters\.(\w+)\}\}", everything))
    filled = inner["spec"]
    for one in inputs["parameters"]:
        filled = filled.replace(f"{{{{inputs.parameters.{one['name']}}}}}", one["default"])
    predictor = yaml.safe_load(filled)["predictor"]
    (container,) = predictor["containers"]
    assert "kserve-container" == container["name"]
    assert 9000 == container["ports"][0]["containerPort"]
    assert all(isinstance(one["value"], str) for one in container["env"])
    assert {"metric", "target"} <= {
        key.rpartition("/")[2] for key in yaml.safe_load(inner["metadata"]["annotations"])
    }


def test_the_entry_script_starts_the_real_infinity(
    model_in_store: str, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    """With the environment that the template sets, and the folder that is uploaded."""
    from embedway_local import embedway_home

    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(embedway_home() / "models")
    named = NamedModel(model=model_in_store, home=home)
    place = AICorePlace(api_url="https://example.com", scenario_id=SCENARIO)
    server = Infinity(image="registry/infinity:1", object_store="store", port=free_port())
    plan = plan_infinity(named, place, infinity=server)
    script, model = (Path(source.folder) for source in plan.sources)
    texts = ["The car sped down the highway.", "ein Fahrzeug", "word " * 700]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            ["/bin/sh", str(script / "run.sh")],
            env={**container_of(plan), "MODEL_PATH": str(model), "HOST": "127.0.0.1"},
            stdout=log,
            stderr=log,
            cwd=tmp_path,
        )
    try:
        url = f"http://127.0.0.1:{server.port}"
        wait_for(f"{url}/health", process, tmp_path / "log")
        body = {"input": texts, "model": model_in_store, "encoding_format": "float"}
        answer = httpx.post(f"{url}/v1/embeddings", json=body, timeout=120).json()
    finally:
        process.kill()
        process.wait()
    found = np.array([one["embedding"] for one in answer["data"]])
    wanted = embedder.embed(texts, input_type=None)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert model_in_store == answer["model"]


def container_of(plan: Plan) -> dict[str, str]:
    """The container's variables, with the configuration's values, and where infinity is."""
    inner = yaml.safe_load(template_of(plan))["spec"]["template"]["spec"]
    configuration = plan.step("configuration")
    for key, value in configuration.parameters.items():  # type: ignore[union-attr]
        inner = inner.replace(f"{{{{inputs.parameters.{key}}}}}", value)
    listed = yaml.safe_load(inner)["predictor"]["containers"][0]["env"]
    path = f"{infinity_python().parent}:{os.environ['PATH']}"
    image = {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "HOME": "/tmp", "OMP_NUM_THREADS": "2"}
    return {**{one["name"]: one["value"] for one in listed}, **image, "PATH": path}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 180
    while time.monotonic() < end:
        assert process.poll() is None, log.read_text()[-3000:]
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.2)
    raise AssertionError(log.read_text()[-3000:])


def run(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["deploy", *arguments])


@pytest.mark.parametrize(("dtype", "precision"), [("float32", "fp32"), ("float16", "fp16")])
def test_the_command_and_what_the_gateway_finds(
    group: Group, monkeypatch: pytest.MonkeyPatch, dtype: str, precision: str
) -> None:
    monkeypatch.setenv("EMBEDWAY_HOME", str(group.folder / "home"))
    options = ["infinity", group.model, "--image", "registry/infinity:1", "--object-store", "store"]
    options += ["--scenario-id", SCENARIO, "--dtype", dtype]
    looked = run(*options, "--dry-run")
    assert 0 == looked.exit_code, looked.output
    assert "aws s3 cp --recursive" in looked.stdout
    assert (dtype == "float16") == ("another vector space" in looked.stdout)
    assert [] == group.cloud.seen
    key = {
        "clientid": "client",
        "clientsecret": "planted-secret",
        "url": group.cloud.url,
        "serviceurls": {"AI_API_URL": group.cloud.url},
    }
    monkeypatch.setenv("AICORE_SERVICE_KEY", json.dumps(key))
    refused = run(*options, "--yes")
    assert 1 == refused.exit_code
    assert "serving-template.yaml" in refused.stderr, refused.output
    folder = group.folder / "home" / "deploy" / "infinity-tiny" / "aicore"
    group.cloud.read_template((folder / "serving-template.yaml").read_text())
    group.cloud.turns = 1

    done = run(*options, "--yes")

    assert 0 == done.exit_code, done.output
    assert "planted" not in done.output
    config = Config.model_validate(yaml.safe_load(done.stdout.partition("by its name:\n\n")[2]))
    assert precision == config.models[0].upstreams[0].precision
    with served(create_app(config)) as url:
        body = {"model": "tiny", "input": ["Two short words"]}
        answer = httpx.post(f"{url}/v1/embeddings", json=body).json()
    wanted = group.embedder.embed(["Two short words"], input_type=None)
    np.testing.assert_allclose([answer["data"][0]["embedding"]], wanted, rtol=0, atol=1e-5)
    assert [("tiny", "infinity", precision)] == asyncio.run(discovered(group))
    assert 0 == run("status", "infinity-tiny").exit_code


@pytest.mark.parametrize("kept", [["--dry-run", "--out"], ["--yaml", "--out"], ["--yaml"]])
def test_a_plan_without_an_address_is_shown_but_never_written(
    group: Group, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kept: list[str]
) -> None:
    monkeypatch.setenv("EMBEDWAY_HOME", str(group.folder / "home"))
    options = ["infinity", group.model, "--image", "registry/infinity:1", "--object-store", "store"]
    path = tmp_path / "plan.yaml"
    kept = [*kept, str(path)] if "--out" in kept else kept

    done = run(*options, *kept)

    assert 1 == done.exit_code
    assert not path.exists()
    assert "AI_API_URL" not in done.stdout
    assert "AICORE_SERVICE_KEY" in done.stderr
    assert 0 == run(*options, *kept, "--api-url", group.cloud.url).exit_code
    assert "--api-url" in run(*options, *kept).stderr
    assert "https://AI_API_URL" in run(*options, "--dry-run").stdout


@pytest.mark.parametrize("written", ["https://AI_API_URL", "https://ai_api_url/v2"])
def test_nothing_is_sent_to_an_address_that_stands_for_another(
    group: Group, monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    """Of a plan that was written before."""
    plan = group.plan()
    kept = group.folder / "plan.yaml"
    kept.write_text(plan.dump().replace(group.cloud.url, written), "utf-8")
    old = load_plan(kept)
    asked = len(group.cloud.seen)
    monkeypatch.setattr(httpx.Client, "stream", lambda *_more, **_options: pytest.fail("sent"))

    with pytest.raises(Refused, match=r"names no address of AI Core.*--api-url"):
        status(group.run(old))
    with pytest.raises(Refused, match=r"names no address of AI Core"):
        old.dump()

    assert asked == len(group.cloud.seen)


async def discovered(group: Group) -> list[tuple[str, str, str | None]]:
    login = Login(
        token_url=f"{group.cloud.url}/oauth/token",
        client_id="client",
        client_secret="planted-secret",
    )
    transport = WireTransport()
    try:
        source = AICoreSource(
            api_url=group.cloud.url,
            resource_group="default",
            scenario_id=SCENARIO,
            credentials=ClientCredentials(login),
            transport=transport,
            config_names=["infinity-tiny-*"],
        )
        return [(one.name, one.engine, one.precision) for one in await source.list()]
    finally:
        await transport.close()
