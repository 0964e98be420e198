"""Deployments that nobody named in the configuration are found, measured and served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.aicore_api import AICoreAPI
from doubles.oci_control_plane import OCIControlPlane, deployment
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform, Refusal
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_gateway.assemble import assemble
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.survey import survey
from embedway_gateway.web.app import create_app
from embedway_gateway.wire import WireTransport
from embedway_upstream import EmbeddingRequest, UnknownModel
from embedway_upstream.testing import fake_vectors

PREDICT = {"MODEL_DEPLOY_PREDICT_ENDPOINT": "/v1/embeddings", "PARAMS": "--model-id /opt/x"}


class World:
    """OCI's control and data plane, and AI Core; requests to OCI must be signed."""

    def __init__(self, folder: Path) -> None:
        self.engine = OpenAIUpstream()
        self.platform = OCIPlatform(self.engine, {KEY_ID: private_key().public_key()})
        self.control = OCIControlPlane(verify=self._is_signed)
        self.aicore = AICoreAPI(engine=self.engine)
        self.key_file = folder / "key.pem"
        self.key_file.write_bytes(pem(private_key()))
        self.urls: dict[str, str] = {}

    def _is_signed(self, method: str, target: str, headers: dict[str, str]) -> bool:
        try:
            self.platform.verify(method, target, headers, b"")
        except Refusal:
            return False
        return True

    def place(self, number: int, tag: str, **changes: Any) -> None:
        item = deployment(number, **changes)
        item["freeformTags"] = {"embedway": tag}
        item["modelDeploymentUrl"] = f"{self.urls['platform']}/{item['id']}"
        self.control.compartments.setdefault("c1", []).append(item)

    def config(self, **more: Any) -> Config:
        return Config.model_validate(
            {
                "credentials": {
                    "prod": {
                        "type": "oci",
                        "tenancy": TENANCY,
                        "user": USER,
                        "fingerprint": FINGERPRINT,
                        "key_file": str(self.key_file),
                    },
                    "sap": {
                        "type": "oauth2",
                        "token_url": f"{self.urls['aicore']}/oauth/token",
                        "client_id": "client",
                        "client_secret": "planted-secret",
                    },
                },
                "discovery": [
                    {
                        "type": "oci",
                        "service_endpoint": self.urls["control"],
                        "compartment_id": "c1",
                        "credentials": "prod",
                    },
                    {
                        "type": "aicore",
                        "api_url": self.urls["aicore"],
                        "scenario_id": "scenario",
                        "config_names": ["nomic-*"],
                        "credentials": "sap",
                    },
                ],
                **more,
            }
        )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    with (
        served(world.control) as control,
        served(world.platform) as platform,
        served(world.aicore) as aicore,
    ):
        world.urls = {"control": control, "platform": platform, "aicore": aicore}
        yield world


async def test_what_runs_is_found_measured_and_served(world: World) -> None:
    world.place(1, "bge-base, engine=tei, invoke=predict")
    world.place(2, "bge-base, engine=tei, invoke=predict")
    world.aicore.add(1, world.urls["aicore"], name="nomic-v1", model="nomic-embed")
    world.aicore.add(2, world.urls["aicore"], name="other", model="unwanted")
    transport = WireTransport()
    models, discovered = assemble(world.config(), transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()

        assert {"bge-base", "nomic-embed"} == set(models)
        assert {8} == {model.dimensions for model in models.values()}
        assert 2 == len(models["bge-base"].upstreams)
        for name in models:
            response = await models.find(name).service.send(EmbeddingRequest(name, ("a", "b")))
            np.testing.assert_array_equal(fake_vectors(["a", "b"], 8), response.vectors)
        assert {"ok"} == set(world.platform.verdicts)
    finally:
        await transport.close()


async def test_a_model_that_is_gone_is_served_no_more_and_others_keep_their_stack(
    world: World,
) -> None:
    world.place(1, "stays, engine=tei, invoke=predict")
    world.place(2, "goes, engine=tei, invoke=predict")
    transport = WireTransport()
    models, discovered = assemble(world.config(), transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()
        before = models["stays"]
        world.control.compartments["c1"].pop()
        await discovered.look()

        assert ["stays"] == list(models)
        assert before is models["stays"]
        with pytest.raises(UnknownModel):
            models.find("goes")
    finally:
        await transport.close()


async def test_the_configuration_wins_and_an_outage_takes_nothing_away(world: World) -> None:
    world.place(1, "mine, engine=tei, invoke=predict")
    world.place(2, "found, engine=tei, invoke=predict")
    mine = {"name": "here", "engine": "openai", "url": "http://127.0.0.1:9"}
    config = world.config(models=[{"name": "mine", "dimensions": 3, "upstreams": [mine]}])
    transport = WireTransport()
    models, discovered = assemble(config, transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()
        world.control.faults.extend([500] * 20)
        await discovered.look()

        assert {"mine", "found"} == set(models)
        assert 3 == models["mine"].dimensions
    finally:
        await transport.close()


async def test_a_deployment_that_does_not_answer_is_left_out_until_it_does(world: World) -> None:
    world.place(1, "slow, engine=tei, invoke=predict")
    world.platform.faults.extend([503] * 2)
    transport = WireTransport()
    models, discovered = assemble(world.config(), transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()
        first = list(models)
        world.platform.faults.clear()
        again = await discovered.update()

        assert ([], True, ["slow"]) == (first, again, list(models))
    finally:
        await transport.close()


async def test_check_looks_at_what_is_found_too(world: World) -> None:
    world.place(1, "bge-base, engine=tei, invoke=predict")

    [finding] = await survey(world.config())

    assert ("bge-base", "tei", 8, "") == (
        finding.model,
        finding.engine,
        finding.dimensions,
        finding.problem,
    )


async def test_check_names_a_place_that_cannot_be_looked_at(world: World) -> None:
    world.place(1, "bge-base, engine=tei, invoke=predict")
    world.control.faults.extend([404] * 9)

    [finding] = await survey(world.config())

    assert (finding.model, finding.upstream) == ("", "discovery[0]")
    assert "policy" in finding.problem


async def test_check_names_what_is_found_but_not_served(world: World) -> None:
    world.place(1, "slow, engine=tei, invoke=predict")
    world.platform.faults.extend([503] * 9)

    [finding] = await survey(world.config())

    assert (finding.model, finding.upstream) == ("slow", "")
    assert finding.problem.startswith("it is found, but not served: OCI says")


async def test_the_gateway_starts_before_anything_is_found(world: World) -> None:
    gateway = create_app(world.config())
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        health = await client.get("/healthz")
        missing = await client.post("/v1/embeddings", json={"model": "x", "input": "a"})
    await gateway.close()

    assert (200, 404) == (health.status_code, missing.status_code)
    assert "none yet" in missing.json()["error"]["message"]
