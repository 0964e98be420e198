"""Deployments on a platform that verifies every signature."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from doubles.oci_identity import KEY_ID, Identity, private_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_upstream import Endpoint, OpenAI
from embedway_upstream.credentials.credentials import Credentials
from embedway_upstream.platforms.oci import OCI


@dataclass
class Deployment:
    app: OCIPlatform
    url: str

    def endpoint(self, credentials: Credentials) -> Endpoint:
        return Endpoint(
            name="ashburn",
            engine=OpenAI(),
            platform=OCI(self.url, "suffix"),
            credentials=credentials,
            dimensions=8,
        )


@pytest.fixture
def identity() -> Identity:
    return Identity()


@pytest.fixture
def deployment(identity: Identity) -> Iterator[Deployment]:
    keys = {KEY_ID: private_key().public_key()}
    app = OCIPlatform(OpenAIUpstream(), keys=keys, identity=identity)
    with served(app) as url:
        yield Deployment(app, f"{url}/ocid1.datasciencemodeldeployment.oc1.iad.xxx")
