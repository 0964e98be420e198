"""An upstream serves only when its vectors are the model's."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

import pytest

from doubles.space import Changing, candidate, guard, layer, settle
from doubles.time import Time
from embedway_gateway.layers.canary import CANARIES
from embedway_gateway.layers.reference import Reference
from embedway_gateway.layers.route import Route, Target
from embedway_gateway.metric import Metrics
from embedway_upstream import (
    BadReply,
    DeadlineExceeded,
    EmbeddingRequest,
    EmbeddingResponse,
    InputTooLong,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSpace,
)
from embedway_upstream.testing import FakeEmbedder
from embedway_upstream.trail import Trail

REQUEST = EmbeddingRequest("m", ("a",))


async def test_an_equal_upstream_serves_after_one_comparison() -> None:
    inner, reference = FakeEmbedder(), FakeEmbedder()
    space = layer(inner, reference)

    assert space.problem
    await space.send(REQUEST)
    await space.send(REQUEST)

    assert "" == space.problem
    assert len(CANARIES) == len(reference.requests)
    assert len(CANARIES) + 2 == len(inner.requests)


async def test_a_foreign_upstream_serves_nothing() -> None:
    inner = Changing(salt="other ")
    space = layer(inner, FakeEmbedder())

    for _ in range(3):
        with pytest.raises(WrongSpace, match="cosine"):
            await space.send(REQUEST)

    assert "differ from those of 'first'" in space.problem
    assert REQUEST not in inner.requests
    assert len(CANARIES) == len(inner.requests), "asked once, not for every request"


async def test_another_size_is_another_space() -> None:
    with pytest.raises(WrongSpace):
        await layer(FakeEmbedder(dimensions=4), FakeEmbedder(dimensions=8)).send(REQUEST)


async def test_a_foreign_upstream_is_looked_at_again_after_a_minute() -> None:
    time, inner = Time(), Changing(salt="other ")
    space = layer(inner, FakeEmbedder(), time)
    with pytest.raises(WrongSpace):
        await space.send(REQUEST)
    inner.salt = ""
    time.now += 61

    assert "fake" == (await space.send(REQUEST)).served_by


async def test_without_a_reference_nothing_is_proven_and_nothing_served() -> None:
    reference = FakeEmbedder(errors=[UpstreamUnreachable("x")])
    inner = FakeEmbedder()
    space = layer(inner, reference)

    with pytest.raises(UpstreamFailed, match="defines the vector space"):
        await space.send(REQUEST)
    assert REQUEST not in inner.requests

    await space.send(REQUEST)
    assert REQUEST in inner.requests


async def test_what_is_refused_is_asked_again_at_once_when_the_space_changed() -> None:
    time, inner, first = Time(), Changing(salt="new "), Changing()
    reference = Reference("m", [candidate("first", first)], clock=time)
    space = guard("second", inner, reference, time)
    with pytest.raises(WrongSpace):
        await space.send(REQUEST)
    first.salt = "new "
    await guard("first", first, reference, time).prove()

    assert "fake" == (await space.send(REQUEST)).served_by
    assert "" == space.quarantined


async def test_vectors_of_another_size_are_refused_after_the_proof_too() -> None:
    inner = FakeEmbedder(dimensions=8)
    space = layer(inner, FakeEmbedder(dimensions=8))
    await space.send(REQUEST)
    inner.dimensions = 16

    with pytest.raises(BadReply):
        await space.send(REQUEST)


async def test_nobody_waits_for_a_comparison_past_the_deadline() -> None:
    class Hanging(FakeEmbedder):
        async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
            await asyncio.sleep(3600)
            raise AssertionError

    space = layer(Hanging(), FakeEmbedder(), time := Time())
    request = EmbeddingRequest("m", ("a",), deadline=time.now + 0.01)

    with pytest.raises(DeadlineExceeded):
        await space.send(request)


async def test_the_one_that_defines_the_space_serves_after_its_canaries_are_known() -> None:
    """Else what it served before could be of another model than they are."""
    inner = FakeEmbedder()
    reference = Reference("m", [candidate("only", inner)])
    space = guard("only", inner, reference)
    assert "" == space.problem, "it waits for the first request, and refuses none"

    await space.send(REQUEST)

    assert reference.known
    assert REQUEST == inner.requests[-1]
    assert len(CANARIES) + 1 == len(inner.requests)


async def test_one_that_gives_no_canaries_has_a_problem() -> None:
    inner = FakeEmbedder(errors=[UpstreamUnreachable("gone")])
    space = guard("only", inner, Reference("m", [candidate("only", inner)]))

    with pytest.raises(UpstreamUnreachable):
        await space.send(REQUEST)

    assert "its vectors could not be compared: gone" == space.problem


async def test_a_canary_that_is_refused_is_not_the_callers_mistake() -> None:
    inner = FakeEmbedder(errors=[InputTooLong("x")])
    space = guard("only", inner, Reference("m", [candidate("only", inner)]))

    with pytest.raises(UpstreamRefused, match="by which vectors are compared"):
        await space.send(REQUEST)


async def test_each_who_waits_for_a_comparison_has_an_error_of_its_own() -> None:
    """What routing notes on one, such as that nobody else is left to ask, is not the other's."""
    space = layer(FakeEmbedder(errors=[UpstreamRefused("no", upstream="second")]), FakeEmbedder())
    spare = Target("spare", FakeEmbedder(), priority=1)
    route = Route([Target("second", space), spare], clock=Time())
    trails = [Trail(), Trail(), Trail()]
    trails[1].upstreams.append("spare")
    sent = [route.send(replace(REQUEST, trail=trail)) for trail in trails]
    found = await asyncio.gather(*sent, return_exceptions=True)

    errors = [error for error in found if isinstance(error, UpstreamRefused)]
    assert [None, 0, None] == [error.most_retries for error in errors]
    assert ["no"] * 3 == [error.message for error in errors]


async def test_a_change_beside_the_traffic_is_noticed_after_five_minutes() -> None:
    time, inner = Time(), Changing()
    space = layer(inner, FakeEmbedder(), time)
    await space.send(REQUEST)
    inner.salt = "other "
    time.now += 301
    await space.send(REQUEST)
    await settle()

    with pytest.raises(WrongSpace):
        await space.send(REQUEST)


async def test_after_a_long_silence_the_first_request_waits_for_the_comparison() -> None:
    time, inner = Time(), Changing()
    space = layer(inner, FakeEmbedder(), time)
    await space.send(REQUEST)
    inner.salt = "other "
    time.now += 601

    with pytest.raises(WrongSpace):
        await space.send(REQUEST)
    assert 1 == inner.requests.count(REQUEST)
    assert 1 == space.strays


async def test_a_quarantine_is_told_once_and_so_is_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "embedway.gateway")
    time, inner, metrics = Time(), Changing(salt="other "), Metrics()
    reference = Reference("m", [candidate("first", FakeEmbedder())], clock=time)
    space = guard("second", inner, reference, time, metrics=metrics)
    labels = {"model": "m", "upstream": "second"}

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"embedway_upstream_{name}", labels)

    assert (0, None) == (value("quarantined"), value("agreement"))
    for _ in range(3):
        with pytest.raises(WrongSpace):
            await space.send(REQUEST)
        time.now += 61
    assert 1 == value("quarantined")
    assert (value("agreement") or 1) < 0.9
    inner.salt = ""
    await space.send(REQUEST)

    assert 0 == value("quarantined")
    assert 1 == pytest.approx(value("agreement"))
    told = [(record.levelname, record.message.split(": ")[1]) for record in caplog.records]
    assert told == [
        ("WARNING", "upstream 'second' is quarantined"),
        ("INFO", "upstream 'second' is released"),
    ]


async def test_of_an_upstream_that_is_gone_nothing_is_told() -> None:
    inner, metrics = Changing(salt="other "), Metrics()
    reference = Reference("m", [candidate("first", FakeEmbedder())])
    space = guard("second", inner, reference, metrics=metrics)
    with pytest.raises(WrongSpace):
        await space.send(REQUEST)

    space.end(followed=False)

    labels = {"model": "m", "upstream": "second"}
    name = "embedway_upstream_quarantined"
    assert 0 == metrics.registry.get_sample_value(name, labels)


async def test_one_that_has_no_time_for_the_longest_text_serves_all_the_same() -> None:
    class Slow(Changing):
        late = 0

        async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
            if request.inputs[0] == CANARIES[-1]:
                self.late += 1
                raise UpstreamTimeout("x")
            return await super().send(request)

    time, inner = Time(), Slow()
    reference = Reference("m", [candidate("only", inner)], clock=time)
    space = guard("only", inner, reference, time)
    for _ in range(5):
        assert "fake" == (await space.send(REQUEST)).served_by
        inner.fail(UpstreamUnreachable("x"))
        with pytest.raises(UpstreamUnreachable):
            await space.send(REQUEST)
        time.now += 30

    assert 1 == inner.late
    assert len(CANARIES) - 1 == len(await reference.vectors())
