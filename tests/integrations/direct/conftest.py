"""Deployments of every platform in front of one engine's stand-in, and clients of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from oci.signer import Signer

from doubles.aicore_api import AICoreAPI
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_client import Client

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"
SECRET = "planted-secret"


@dataclass
class World:
    """The stand-ins, and where they are."""

    engine: OpenAIUpstream = field(default_factory=OpenAIUpstream)
    oci: OCIPlatform = field(init=False)
    aicore: AICoreAPI = field(init=False)
    oci_url: str = ""
    aicore_url: str = ""
    plain_url: str = ""

    def __post_init__(self) -> None:
        self.oci = OCIPlatform(self.engine, {KEY_ID: private_key().public_key()})
        self.aicore = AICoreAPI(engine=self.engine)

    def signer(self, number: int = 0) -> Signer:
        """A signer of the SDK; OCI knows the key of number 0."""
        content = pem(private_key(number)).decode()
        return Signer(TENANCY, USER, FINGERPRINT, None, private_key_content=content)

    def service_key(self, **changed: Any) -> dict[str, Any]:
        url = self.aicore_url.partition("/v2/")[0]
        return {
            "clientid": "client",
            "clientsecret": SECRET,
            "url": url,
            "serviceurls": {"AI_API_URL": url},
            **changed,
        }

    def on_oci(self, **options: Any) -> dict[str, Any]:
        """Keywords of `direct`."""
        known = {"model": "m", "url": self.oci_url, "credentials": self.signer()}
        return {**known, **options}

    def on_aicore(self, **options: Any) -> dict[str, Any]:
        known = {"model": "m", "url": self.aicore_url, "engine": "infinity"}
        return {**known, "credentials": self.service_key(), **options}

    def on_plain(self, **options: Any) -> dict[str, Any]:
        return {"model": "m", "url": self.plain_url, **options}


@pytest.fixture(scope="module")
def _served() -> Iterator[World]:
    world = World()
    with served(world.oci) as oci, served(world.aicore) as aicore, served(world.engine) as plain:
        world.aicore.add(1, aicore, name="c", model="m")
        world.oci_url = f"{oci}/{OCID}"
        world.aicore_url = f"{aicore}/v2/inference/deployments/d1"
        world.plain_url = plain
        yield world


@pytest.fixture
def world(_served: World) -> World:
    _served.engine.reset()
    _served.engine.dimensions = 8
    for memory in (_served.oci.faults, _served.oci.verdicts, _served.oci.seen):
        memory.clear()
    for log in (_served.aicore.faults, _served.aicore.token_faults, _served.aicore.forms):
        log.clear()
    return _served


@pytest.fixture
def direct(sleeper):
    """`Client.direct`, that does not wait."""

    def make(**options: Any) -> Client:
        return Client.direct(pace=sleeper.pace, **options)

    return make
