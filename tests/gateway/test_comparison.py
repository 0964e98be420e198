"""Who may define a model's space, by its configuration, and what a new one takes over."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from doubles.space import Disturbed
from embedway_gateway.assemble import put_together
from embedway_gateway.comparison import compare, references_of
from embedway_gateway.config.schema import Config, ModelConfig
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Models
from embedway_gateway.survey import survey
from embedway_gateway.transport import AiohttpTransport
from embedway_upstream import EmbeddingError, EmbeddingRequest, WrongSpace
from embedway_upstream.testing import FakeEmbedder

REQUEST = EmbeddingRequest("m", ("a",))
LOCAL = {"engine": "local", "url": None}


def model(*upstreams: dict[str, Any], **more: Any) -> ModelConfig:
    named = [
        {"name": f"up{n}", "engine": "openai", "url": "https://up", **one}
        for n, one in enumerate(upstreams)
    ]
    return ModelConfig.model_validate({"name": "m", "dimensions": 8, "upstreams": named, **more})


@pytest.mark.parametrize(
    ("config", "order"),
    [
        (model({}, {}), [0, 1]),
        (model({"priority": 1}, {}, {"priority": 1}), [1, 0, 2]),
        (model({}, {**LOCAL, "priority": 1}), [1]),
        (model({}, LOCAL, reference="up0"), [0]),
        (model({}, {"priority": 1}, reference="up1"), [1]),
    ],
)
def test_the_stated_one_then_the_local_one_then_the_order(
    config: ModelConfig, order: list[int]
) -> None:
    assert references_of(config) == order


def test_a_local_reference_is_compared_with_nobody_and_what_only_reranks_neither() -> None:
    fakes = [FakeEmbedder(), FakeEmbedder()]
    other, local = compare(model({}, LOCAL), fakes, Metrics())
    reranker = model({"engine": "tei"}, {"engine": "tei"}, capabilities=["rerank"])

    assert other is not None
    assert local is None
    assert compare(reranker, fakes, Metrics()) == [None, None]


@pytest.mark.parametrize(
    ("upstream", "more", "served"),
    [
        ({}, {}, False),
        ({"precision": "int8"}, {}, True),
        ({"precision": "int8"}, {"agreement": 0.99}, False),
        ({}, {"agreement": 0.97}, True),
    ],
)
async def test_the_configuration_says_how_exactly_an_upstream_must_agree(
    upstream: dict[str, Any], more: dict[str, Any], served: bool
) -> None:
    _, space = compare(model({}, upstream, **more), [FakeEmbedder(), Disturbed(0.98)], Metrics())
    assert space is not None

    if served:
        await space.send(REQUEST)
    else:
        with pytest.raises(WrongSpace):
            await space.send(REQUEST)


@pytest.mark.parametrize(("revision", "inherits"), [("a", True), ("b", False)])
async def test_a_changed_configuration_goes_on_with_the_space_unless_it_states_another(
    revision: str, inherits: bool
) -> None:
    transport, metrics = AiohttpTransport(), Metrics()

    def config(url: str, **more: Any) -> Config:
        return Config(models=(model({"url": url, **more}, revision="a"),))

    upstream = OpenAIUpstream()
    with served(upstream) as url:
        old = put_together(config(url), transport, metrics)
        space = old.models[0].upstreams[0].space
        assert space is not None
        await space.prove()
        changed = config(url, weight=2).model_copy(
            update={"models": (model({"url": url, "weight": 2}, revision=revision),)}
        )
        new = put_together(changed, transport, metrics, before=old)
        reference = new.models[0].reference
        assert reference is not None
        assert reference.known == inherits
    await transport.close()


async def test_of_a_model_that_is_served_no_more_no_quarantine_is_told() -> None:
    transport, metrics = AiohttpTransport(), Metrics()
    with served(OpenAIUpstream()) as one, served(OpenAIUpstream(salt="other ")) as two:
        whole = put_together(
            Config(models=(model({"url": one}, {"url": two}),)), transport, metrics
        )
        models = Models(list(whole.models))
        space = models["m"].upstreams[1].space
        assert space is not None
        with pytest.raises(EmbeddingError):
            await space.prove()
    labels = {"model": "m", "upstream": "up1"}

    def told() -> float | None:
        return metrics.registry.get_sample_value("embedway_upstream_quarantined", labels)

    assert told() == 1
    models.replace([])
    assert told() == 0
    await transport.close()


async def test_one_that_was_outrun_until_it_rests_is_compared_before_it_serves_again() -> None:
    """Hung up on each time, it never failed."""
    transport = AiohttpTransport()
    second = OpenAIUpstream()
    with served(OpenAIUpstream()) as one, served(second) as two:
        config = Config(models=(model({"url": one}, {"url": two}),))
        state = put_together(config, transport, Metrics()).models[0].upstreams[1]
        assert state.space is not None
        await state.space.prove()
        second.salt = "other "
        for moment in range(5):
            assert "" == state.space.problem
            assert "closed" == state.target.breaker.state(moment)
            state.target.breaker.outrun(moment, moment + 0.5)
        assert "open" == state.target.breaker.state(5)

        with pytest.raises(WrongSpace):
            await state.target.service.send(REQUEST)
    await transport.close()


async def test_check_names_a_missing_normalisation() -> None:
    with served(OpenAIUpstream()) as one, served(OpenAIUpstream(length=7.3)) as two:
        _, found = await survey(Config(models=(model({"url": one}, {"url": two}),)))

    assert found.cosine == pytest.approx(1)
    assert "the normalisation is missing here" in found.problem


@pytest.mark.parametrize(("more", "same"), [({}, False), ({"agreement": 0.9}, True)])
async def test_check_holds_them_to_the_same(more: dict[str, Any], same: bool) -> None:
    askew = OpenAIUpstream(length=np.array([1.3, *[1.0] * 7], np.float32))
    with served(OpenAIUpstream()) as one, served(askew) as two:
        _, found = await survey(Config(models=(model({"url": one}, {"url": two}, **more),)))

    assert found.cosine is not None
    assert 0.9 < found.cosine < 0.999
    assert (found.problem == "") == same
