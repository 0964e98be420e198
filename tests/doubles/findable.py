"""A world in which deployments are found, and what follows what is found in it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from doubles.aicore_api import AICoreAPI
from doubles.oci_control_plane import OCIControlPlane, deployment
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform, Refusal
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_gateway.assemble import assemble
from embedway_gateway.config.schema import Config
from embedway_gateway.discovered import Discovered
from embedway_gateway.layers.steady import SpaceChanged
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model, Models
from embedway_gateway.wire import WireTransport
from embedway_upstream import EmbeddingRequest

__all__ = ["World", "followed", "meaning", "world_in"]


class _Deployed:
    """An ASGI application: what runs in each deployment, by its id; elsewhere `shared` does."""

    def __init__(self, shared: OpenAIUpstream) -> None:
        self.shared = shared
        self.own: dict[str, OpenAIUpstream] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        key = scope.get("raw_path", b"").decode().strip("/").partition("/")[0]
        await self.own.get(key, self.shared)(scope, receive, send)


class World:
    """
    OCI's control and data plane, and AI Core; requests to OCI must be signed. All deployments have
    `engine`, but those that were placed with one of their own.
    """

    def __init__(self, folder: Path) -> None:
        self.engine = OpenAIUpstream()
        self.deployed = _Deployed(self.engine)
        self.platform = OCIPlatform(self.deployed, {KEY_ID: private_key().public_key()})
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

    def place(
        self,
        number: int,
        tag: str,
        *,
        engine: OpenAIUpstream | None = None,
        compartment: str = "c1",
        **changes: Any,
    ) -> None:
        item = deployment(number, **changes)
        item["freeformTags"] = {"embedway": tag}
        item["modelDeploymentUrl"] = f"{self.urls['platform']}/{item['id']}"
        if engine is not None:
            self.deployed.own[item["id"]] = engine
        self.control.compartments.setdefault(compartment, []).append(item)

    def remove(self, number: int, compartment: str = "c1") -> None:
        """The deployment is gone from the list."""
        gone = deployment(number)["id"]
        items = self.control.compartments[compartment]
        self.control.compartments[compartment] = [one for one in items if one["id"] != gone]

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


@contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """One that serves; what it must keep is in the folder."""
    world = World(folder)
    with (
        served(world.control) as control,
        served(world.platform) as platform,
        served(world.aicore) as aicore,
    ):
        world.urls = {"control": control, "platform": platform, "aicore": aicore}
        yield world


@asynccontextmanager
async def followed(world: World) -> AsyncIterator[tuple[Models, Discovered]]:
    """What is found now, and what follows it."""
    transport = WireTransport()
    models, discovered = assemble(world.config(), transport, Metrics())
    assert discovered is not None
    try:
        await discovered.look()
        yield models, discovered
    finally:
        await transport.close()


async def meaning(model: Model) -> str | None:
    """The vector space of an answer."""
    with contextlib.suppress(SpaceChanged):
        # Of a change the first caller is told.
        await model.service.send(EmbeddingRequest(model.name, ("a",)))
    return model.vector_space
