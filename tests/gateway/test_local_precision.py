"""A model that local runtimes serve in several precisions keeps to one vector space."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from embedway_gateway.assemble import put_together
from embedway_gateway.config.schema import Config, ModelConfig
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model
from embedway_gateway.survey import survey
from embedway_gateway.transport import AiohttpTransport
from embedway_local import LocalEmbedder
from embedway_upstream import EmbeddingRequest, WrongSpace


def config(name: str, **more: Any) -> Config:
    upstreams = [
        {"name": "rough", "engine": "local", "device": "cpu", "precision": "int8"},
        {"name": "exact", "engine": "local", "device": "cpu", "priority": 1},
    ]
    model = {"name": name, "dimensions": 384, "upstreams": upstreams, **more}
    return Config(models=(ModelConfig.model_validate(model),))


@asynccontextmanager
async def loaded(made: Config) -> AsyncIterator[Model]:
    """The model, with both runtimes loaded."""
    transport = AiohttpTransport()
    (model,) = put_together(made, transport, Metrics()).models
    locals_ = [state.local for state in model.upstreams if state.local]
    for local in locals_:
        await local.load()
    yield model
    for local in locals_:
        await local.close()
    await transport.close()


@pytest.mark.parametrize(
    ("reference", "precision"), [(None, "int8"), ("rough", "int8"), ("exact", "fp32")]
)
async def test_the_space_is_of_the_precision_that_defines_it(
    model_in_store: str, reference: str | None, precision: Any
) -> None:
    with LocalEmbedder(model_in_store, device="cpu", precision=precision) as embedder:
        expected = embedder.space.fingerprint
    async with loaded(config(model_in_store, reference=reference)) as model:
        assert model.vector_space == expected


async def test_the_other_precision_serves_when_it_agrees(model_in_store: str) -> None:
    async with loaded(config(model_in_store)) as model:
        exact = model.upstreams[1].space
        assert exact is not None
        await exact.prove()

        assert exact.problem == ""


async def test_what_was_measured_decides_how_exactly(model_in_store: str) -> None:
    with LocalEmbedder(model_in_store, device="cpu", precision="int8") as embedder:
        assert embedder.agreement is not None
        least = 1 - 4 * (1 - embedder.agreement.worst)
    async with loaded(config(model_in_store)) as model:
        assert model.reference is not None
        vectors = await model.reference.vectors()
        verdict = await model.reference.judge("exact", "fp32", vectors)

    assert verdict.least == pytest.approx(least)
    assert verdict.least > 0.99


async def test_the_other_precision_is_kept_out_when_it_does_not(model_in_store: str) -> None:
    async with loaded(config(model_in_store, agreement=0.9995)) as model:
        exact = model.upstreams[1].space
        assert exact is not None
        with pytest.raises(WrongSpace):
            await exact.send(EmbeddingRequest(model_in_store, ("a",)))

        assert "at least 0.9995 is needed" in exact.problem


@pytest.mark.parametrize(("agreement", "same"), [(None, True), (0.9995, False)])
async def test_check_compares_precisions(
    model_in_store: str, agreement: float | None, same: bool
) -> None:
    found = await survey(config(model_in_store, agreement=agreement))

    assert found[0].problem == ""
    assert found[1].cosine is not None
    assert 0.99 < found[1].cosine < 0.9995
    assert (found[1].problem == "") == same
