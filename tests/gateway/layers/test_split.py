"""Split: pieces that are cut to bounds, cut again, and put together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.dice import Dice
from doubles.time import Time
from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.breaker import Breaker, Patience
from embedway_gateway.layers.capacity import Capacity
from embedway_gateway.layers.learn import Learn, texts_of
from embedway_gateway.layers.retry import Budget, Retry
from embedway_gateway.layers.route import Route, Target
from embedway_gateway.layers.split import Split
from embedway_upstream import (
    BadVector,
    BatchTooLarge,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InputTooLong,
    RateLimited,
    Service,
    UpstreamFailed,
    UpstreamTimeout,
)
from embedway_upstream.platforms.error import PlatformLimited
from embedway_upstream.testing import FakeEmbedder, fake_vectors

TEXTS = tuple(f"text number {number:03}" for number in range(100))
BOUNDS = st.builds(
    Bounds,
    max_inputs=st.none() | st.integers(1, 12),
    max_bytes=st.none() | st.integers(4097, 4096 + 200),
    max_text=st.none() | st.integers(1, 100),
)


class Particular(FakeEmbedder):
    """Refuses what `refuses` says, and takes a second for each text of what it answers."""

    def __init__(
        self,
        refuses: Callable[[EmbeddingRequest], EmbeddingError | None],
        time: Time | None = None,
        *,
        name: str = "fake",
    ) -> None:
        super().__init__(name=name)
        self._refuses = refuses
        self._time = time or Time()

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        if error := self._refuses(request):
            self.requests.append(request)
            self._time.now += 60.0 if isinstance(error, UpstreamTimeout) else 0.0
            raise error
        self._time.now += len(request.inputs)
        return await super().send(request)


def sizes(inner: FakeEmbedder) -> list[int]:
    return [len(request.inputs) for request in inner.requests]


def stack(
    *inner: Service[EmbeddingRequest, EmbeddingResponse],
    time: Time,
    budget: Budget | None = None,
    stated: Bounds | None = None,
    patience: Patience | None = None,
) -> Split:
    targets = []
    for number, one in enumerate(inner):
        capacity = Capacity(stated or Bounds(), seconds=60.0)
        learn = Learn(one, capacity, texts_of, clock=time)
        breaker = Breaker(patience or Patience())
        targets.append(Target(f"up{number}", learn, capacity=capacity, breaker=breaker))
    # The first of two at first, then the other.
    route = Route(targets, clock=time, dice=Dice(0.0, 0.0, 0.99))
    budget = budget or Budget(clock=time)
    retry = Retry(route, budget, clock=time, sleep=time.sleep, jitter=lambda: 1.0)
    return Split(retry, route.bounds, budget, clock=time)


def slow(request: EmbeddingRequest) -> EmbeddingError | None:
    return UpstreamTimeout("x") if len(request.inputs) > 60 else None


def over(limit: int, *, told: bool) -> Callable[[EmbeddingRequest], EmbeddingError | None]:
    def refuses(request: EmbeddingRequest) -> EmbeddingError | None:
        told_limit = limit if told else None
        return BatchTooLarge("x", limit=told_limit) if len(request.inputs) > limit else None

    return refuses


@given(st.lists(st.text(max_size=30), min_size=1, max_size=40), BOUNDS, st.integers(1, 9))
def test_split_and_join_is_the_identity_whatever_the_bounds(
    texts: list[str], bounds: Bounds, limit: int
) -> None:
    whole, inner = FakeEmbedder(), Particular(over(limit, told=False))
    request = EmbeddingRequest("m", tuple(texts))

    expected = asyncio.run(whole.send(request))
    actual = asyncio.run(stack(inner, time=Time(), stated=bounds).send(request))

    np.testing.assert_array_equal(expected.vectors, actual.vectors)
    assert expected.usage == actual.usage
    for piece in inner.requests:
        assert len(piece.inputs) <= (bounds.max_inputs or len(texts))


async def test_a_piece_that_fails_fails_the_request_bare() -> None:
    time = Time()
    inner = FakeEmbedder(errors=[UpstreamFailed("x")] * 9)

    with pytest.raises(UpstreamFailed):
        await stack(inner, time=time, stated=Bounds(max_inputs=1)).send(
            EmbeddingRequest("m", ("a", "b", "c"))
        )


async def test_a_limit_that_is_told_is_kept_from_then_on() -> None:
    time, inner = Time(), Particular(over(32, told=True))
    split = stack(inner, time=time)

    response = await split.send(EmbeddingRequest("m", TEXTS))
    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), response.vectors)
    assert [100, 32, 32, 32, 4] == sizes(inner)

    inner.requests.clear()
    await split.send(EmbeddingRequest("m", TEXTS))
    assert [32, 32, 32, 4] == sizes(inner)


async def test_a_limit_that_is_not_told_is_found_by_halving_and_kept() -> None:
    time, inner = Time(), Particular(over(32, told=False))
    split = stack(inner, time=time)

    response = await split.send(EmbeddingRequest("m", TEXTS))
    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), response.vectors)
    # The second half was cut before it was sent.
    assert [100, 50, 25, 25, 25, 25] == sizes(inner)

    inner.requests.clear()
    await split.send(EmbeddingRequest("m", TEXTS))
    assert max(sizes(inner)) <= 32


async def test_pieces_that_wait_for_their_turn_know_what_others_met() -> None:
    time, inner = Time(), Particular(over(2, told=True))
    split = stack(inner, time=time, stated=Bounds(max_inputs=4))

    await split.send(EmbeddingRequest("m", TEXTS))

    # Sixteen run at once; those behind them are cut before they are sent.
    assert sizes(inner).count(4) <= 16
    assert 100 == sum(size for size in sizes(inner) if size <= 2)


async def test_one_text_that_is_a_batch_too_large_is_too_long() -> None:
    inner = Particular(over(0, told=False))

    with pytest.raises(InputTooLong, match="send it in parts") as caught:
        await stack(inner, time=Time()).send(EmbeddingRequest("m", ("a", "b")))

    assert InputTooLong is type(caught.value)


async def test_what_takes_too_long_together_is_cut_and_learnt_from() -> None:
    time = Time()
    inner = Particular(slow, time)
    split = stack(inner, time=time)

    response = await split.send(EmbeddingRequest("m", TEXTS))
    np.testing.assert_array_equal(fake_vectors(TEXTS, 8), response.vectors)
    # Not repeated whole, though Retry stands between; and the first half told of the second.
    assert [100, 50, 30, 20] == sizes(inner)

    inner.requests.clear()
    await split.send(EmbeddingRequest("m", TEXTS))
    # Half of the sixty seconds, at a second a text.
    assert max(sizes(inner)) <= 30


async def test_halves_may_go_elsewhere() -> None:
    time = Time()
    hung = Particular(lambda _request: UpstreamTimeout("x"), time, name="hung")
    well = FakeEmbedder(name="well")

    split = stack(hung, well, time=time, patience=Patience(failures=1, rest=999.0))
    response = await split.send(EmbeddingRequest("m", TEXTS))

    assert "well" == response.served_by
    assert [100] == sizes(hung)
    # Nor does what hangs cut what others are asked.
    await split.send(EmbeddingRequest("m", TEXTS))
    assert [50, 50, 100] == sizes(well)


@pytest.mark.parametrize(("budget", "deadline"), [(0.0, None), (9.0, 1030.0)])
async def test_no_halves_beyond_the_budget_or_the_deadline(
    budget: float, deadline: float | None
) -> None:
    time = Time()
    inner = Particular(lambda _request: UpstreamTimeout("x"), time)
    split = stack(inner, time=time, budget=Budget(floor=budget, clock=time))

    with pytest.raises(UpstreamTimeout):
        await split.send(EmbeddingRequest("m", TEXTS, deadline=deadline))

    assert [100] == sizes(inner)


async def test_a_quick_timeout_is_tried_again_whole() -> None:
    time = Time()
    inner = FakeEmbedder(errors=[UpstreamTimeout("x")])

    await stack(inner, time=time).send(EmbeddingRequest("m", TEXTS))

    assert [100, 100] == sizes(inner)


async def test_a_quick_timeout_is_not_cut() -> None:
    inner = FakeEmbedder(errors=[UpstreamTimeout("x")] * 9)

    with pytest.raises(UpstreamTimeout):
        await stack(inner, time=Time()).send(EmbeddingRequest("m", TEXTS))

    assert [100] * 3 == sizes(inner)


async def test_an_outage_is_not_amplified() -> None:
    time = Time()
    inner = Particular(lambda _request: UpstreamTimeout("x"), time)
    split = stack(inner, time=time, budget=Budget(floor=0.0, clock=time))

    for _ in range(50):
        with pytest.raises(UpstreamTimeout):
            await split.send(EmbeddingRequest("m", TEXTS, deadline=time.now + 120))

    whole = 50 * len(TEXTS)
    assert sum(sizes(inner)) <= 1.25 * whole


@pytest.mark.parametrize(
    ("error", "after"),
    [
        (RateLimited("x"), [16, 16]),
        (PlatformLimited("x", scope="deployment"), [16, 16]),
        (PlatformLimited("x", scope="tenancy"), [32]),
    ],
)
async def test_a_refusal_for_now_shrinks_the_next_batch_and_not_this_one(
    error: EmbeddingError, after: list[int]
) -> None:
    time = Time()
    inner = FakeEmbedder(errors=[error] * 3)
    split = stack(inner, time=time)

    with pytest.raises(RateLimited):
        await split.send(EmbeddingRequest("m", TEXTS[:32]))
    await split.send(EmbeddingRequest("m", TEXTS[:32]))

    assert [32, 32, 32, *after] == sizes(inner)


async def test_a_text_without_a_vector_is_counted_from_the_first_of_all_pieces() -> None:
    def lack(request: EmbeddingRequest) -> EmbeddingError | None:
        rows = [row for row, text in enumerate(request.inputs) if text == TEXTS[50]]
        return BadVector("zeros", rows=rows) if rows else None

    layer = Split(Particular(lack), lambda: Bounds(max_inputs=7), Budget())

    with pytest.raises(BadVector) as caught:
        await layer.send(EmbeddingRequest("m", TEXTS))
    assert (50,) == caught.value.rows
