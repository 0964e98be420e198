"""A region to deploy to, and the model that is deployed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from doubles.oci_deployed import CONDA, IMAGE, Plans, World, deploying
from embedway_deploy.onnx.artifact import Conda
from embedway_deploy.onnx.plan import plan_onnx
from embedway_deploy.tei.plan import TEI, plan_tei
from embedway_local import LocalEmbedder


@pytest.fixture(scope="session")
def embedder(model_in_store: str) -> Iterator[LocalEmbedder]:
    with LocalEmbedder(model_in_store) as opened:
        yield opened


@pytest.fixture
def world(tmp_path: Path, embedder: LocalEmbedder) -> Iterator[World]:
    with warnings.catch_warnings():
        # requests, vendored in the SDK, closes its connections when it is collected.
        warnings.simplefilter("ignore", ResourceWarning)
        with deploying(tmp_path, embedder) as made:
            yield made


@pytest.fixture(params=["onnx", "tei"])
def plans(request: pytest.FixtureRequest) -> Plans:
    """Makes the plan of one engine in a world."""
    if request.param == "onnx":
        return lambda world: plan_onnx(world.order(), conda=Conda(CONDA))
    return lambda world: plan_tei(world.order(), tei=TEI(image=IMAGE))
