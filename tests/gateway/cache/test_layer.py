"""The layer asks for what is not known, and never changes an answer."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from embedway_gateway.cache.memory import Memory
from embedway_gateway.layers.cache import Cache
from embedway_gateway.layers.shorten import Shorten
from embedway_gateway.metric import Metrics
from embedway_gateway.web.writer import write_embeddings
from embedway_upstream import (
    BadVector,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InputType,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.testing import FakeEmbedder, fake_vectors


def ask(*texts: str, kind: InputType = "document", size: int | None = None) -> EmbeddingRequest:
    return EmbeddingRequest("m", texts, kind, size)


class Space:
    def __init__(self) -> None:
        self.name: str | None = "one"

    def __call__(self) -> str | None:
        return self.name


def cached(
    inner: FakeEmbedder, space: Callable[[], str | None] | None = None, *, typed: bool = False
) -> Cache:
    metrics = Metrics()
    store = Memory(10**7, metrics)
    return Cache(inner, store, space or Space(), metrics, model="m", typed=typed)


def asked(inner: FakeEmbedder) -> list[tuple[str, ...]]:
    return [request.inputs for request in inner.requests]


async def test_of_ten_texts_of_which_nine_are_known_one_is_asked_for() -> None:
    inner = FakeEmbedder()
    layer = cached(inner)
    texts = [f"text {number}" for number in range(10)]
    await layer.send(ask(*texts[:4], *texts[5:]))

    response = await layer.send(ask(*texts))

    assert ("text 4",) == asked(inner)[1]
    assert fake_vectors(texts, 8).tolist() == response.vectors.tolist()
    assert ("fake", 9) == (response.served_by, response.cached)


async def test_a_known_text_is_answered_without_an_upstream() -> None:
    inner = FakeEmbedder()
    layer = cached(inner)
    first = await layer.send(ask("a", "b"))
    again = await layer.send(ask("b", "a", "b"))

    assert 1 == len(inner.requests)
    assert first.vectors[[1, 0, 1]].tobytes() == again.vectors.tobytes()
    assert ("cache", 3, False) == (again.served_by, again.cached, again.fallback)
    again.vectors[:] = 0
    assert first.vectors[:1].tobytes() == (await layer.send(ask("a"))).vectors.tobytes()


async def test_usage_of_what_is_known_is_what_it_took_to_read() -> None:
    layer = cached(FakeEmbedder())
    alone = await layer.send(ask("one two three"))
    known = await layer.send(ask("one two three"))
    await layer.send(ask("a b c d e", "a"))
    shares = [(await layer.send(ask(text))).usage for text in ("a b c d e", "a")]
    mixed = await layer.send(ask("one two three", "four"))

    assert Usage(3, 3) == alone.usage == known.usage
    assert (Usage(5, 5, estimated=True), Usage(1, 1, estimated=True)) == tuple(shares)
    assert (Usage(4, 4), 3) == (mixed.usage, mixed.cached_tokens)


async def test_input_types_share_unless_an_upstream_tells_them_apart() -> None:
    inner = FakeEmbedder()
    for layer in (cached(inner), cached(inner, typed=True)):
        await layer.send(ask("a"))
        await layer.send(ask("a", kind="query"))

    assert 3 == len(inner.requests)


async def test_without_a_space_nothing_is_read_and_nothing_stored() -> None:
    inner, space = FakeEmbedder(), Space()
    layer = cached(inner, space)
    await layer.send(ask("a"))
    space.name = None
    assert "fake" == (await layer.send(ask("a"))).served_by
    await layer.send(ask("b"))
    space.name = "one"

    assert "fake" == (await layer.send(ask("b"))).served_by
    assert "cache" == (await layer.send(ask("a"))).served_by


async def test_another_space_begins_anew() -> None:
    inner, space = FakeEmbedder(), Space()
    layer = cached(inner, space)
    await layer.send(ask("a"))
    space.name = "two"

    assert "fake" == (await layer.send(ask("a"))).served_by


class Changing(FakeEmbedder):
    """While it answers, its space becomes another."""

    def __init__(self, space: Space) -> None:
        super().__init__()
        self.space = space
        self.becomes: str | None = None

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        response = await super().send(request)
        if self.becomes is not None:
            self.space.name, self.becomes = self.becomes, None
        return response


async def test_an_answer_during_which_the_space_changed_is_not_stored() -> None:
    space = Space()
    inner = Changing(space)
    layer = cached(inner, space)
    inner.becomes = "two"
    await layer.send(ask("a"))
    assert "fake" == (await layer.send(ask("a"))).served_by
    space.name = "one"

    assert "fake" == (await layer.send(ask("a"))).served_by


async def test_vectors_of_two_spaces_never_stand_in_one_answer() -> None:
    space = Space()
    inner = Changing(space)
    layer = cached(inner, space)
    await layer.send(ask("a"))
    inner.becomes = "two"

    response = await layer.send(ask("a", "b"))

    assert [("a",), ("b",), ("a", "b")] == asked(inner)
    assert 0 == response.cached


class Slow(Memory):
    """While it is read, the space becomes another."""

    space: Space

    async def get(self, keys: Sequence[bytes]) -> list[bytes | None]:
        found = await super().get(keys)
        self.space.name = "two"
        return found


async def test_what_was_read_while_the_space_changed_is_not_used() -> None:
    metrics, space = Metrics(), Space()
    store = Slow(10**6, metrics)
    store.space = space
    inner = FakeEmbedder()
    layer = Cache(inner, store, space, metrics, model="m", typed=False)
    store.space = Space()
    await layer.send(ask("a"))
    store.space = space

    assert "fake" == (await layer.send(ask("a"))).served_by


async def test_vectors_of_another_size_are_asked_for_again() -> None:
    inner = FakeEmbedder(dimensions=8)
    layer = cached(inner)
    await layer.send(ask("a"))
    inner.dimensions = 4
    await layer.send(ask("c"))

    assert (2, 4) == (await layer.send(ask("a", "b"))).vectors.shape
    assert (2, 4) == (await layer.send(ask("a", "c"))).vectors.shape


async def test_what_failed_is_not_stored() -> None:
    inner = FakeEmbedder(errors=[UpstreamFailed("x")])
    layer = cached(inner)
    with pytest.raises(UpstreamFailed):
        await layer.send(ask("a"))

    assert "fake" == (await layer.send(ask("a"))).served_by


async def test_a_text_without_a_vector_is_counted_among_all_that_were_asked_for() -> None:
    class Lacking(FakeEmbedder):
        async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
            if "bad" in request.inputs:
                raise BadVector("zeros", rows=[request.inputs.index("bad")])
            return await super().send(request)

    layer = cached(Lacking())
    await layer.send(ask("a", "b"))

    for texts, row in ((("a", "b", "c", "bad"), 3), (("c", "bad"), 1)):
        with pytest.raises(BadVector) as caught:
            await layer.send(ask(*texts))
        assert (row,) == caught.value.rows


async def test_hits_and_misses_are_counted_by_text() -> None:
    metrics = Metrics()
    layer = Cache(FakeEmbedder(), Memory(10**6, metrics), Space(), metrics, model="m", typed=False)
    await layer.send(ask("a", "b"))
    await layer.send(ask("a", "b", "c"))
    await layer.send(ask("a"))
    shown = generate_latest(metrics.registry).decode()

    assert 'embedway_cache_texts_total{model="m",result="hit"} 3.0' in shown
    assert 'embedway_cache_texts_total{model="m",result="miss"} 3.0' in shown


@dataclass
class Restless:
    """An upstream that fails and becomes another model at random; what it says is right."""

    space: Space
    chance: random.Random
    model: str = "one"
    changes: int = 0

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        for _ in range(self.chance.randrange(3)):
            await asyncio.sleep(0)
        if self.chance.random() < 0.15:
            raise UpstreamFailed("x")
        salted = [f"{self.model} {text}" for text in request.inputs]
        vectors = fake_vectors(salted, 8)
        if self.chance.random() < 0.15:
            self.changes += 1
            self.model = self.chance.choice(["one", "two", "three"])
            self.space.name = self.chance.choice([f"{self.model} {self.changes}", None])
        return EmbeddingResponse("m", vectors, Usage(1, 1), "up")


REQUESTS = st.lists(
    st.tuples(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6), st.booleans()),
    min_size=1,
    max_size=25,
)


@given(REQUESTS, st.integers(0, 10**6), st.booleans())
def test_the_cache_never_changes_an_answer(
    requests: list[tuple[list[str], bool]], seed: int, at_once: bool
) -> None:
    """Bit for bit that of a model that the upstream was meanwhile, one for the whole answer."""

    async def run() -> None:
        space, chance = Space(), random.Random(seed)
        inner = Restless(space, chance)
        metrics = Metrics()
        # Room for a few entries only, so that they come and go.
        layer = Cache(inner, Memory(4000, metrics), space, metrics, model="m", typed=False)
        stack = Shorten(layer, sizes=(4,), full=lambda: 8)

        async def one(texts: list[str], short: bool) -> None:
            request = ask(*texts, size=4 if short else None)
            try:
                response = await stack.send(request)
            except EmbeddingError:
                return
            bodies = {write(response, base64=base64) for base64 in (False, True)}
            right = [await uncached(request, name) for name in ("one", "two", "three")]
            assert bodies in [
                {write(one, base64=base64) for base64 in (False, True)} for one in right
            ]

        calls = [one(*each) for each in requests]
        if at_once:
            await asyncio.gather(*calls)
        for call in calls if not at_once else []:
            await call

    asyncio.run(run())


def write(response: EmbeddingResponse, *, base64: bool) -> bytes:
    return write_embeddings(replace(response, usage=Usage(0, 0)), model="m", base64=base64)


async def uncached(request: EmbeddingRequest, name: str) -> EmbeddingResponse:
    salted = replace(request, inputs=tuple(f"{name} {text}" for text in request.inputs))
    return await Shorten(FakeEmbedder(), sizes=(4,), full=lambda: 8).send(salted)


def test_the_writer_shows_every_bit() -> None:
    """What the comparison above rests on."""
    one = EmbeddingResponse("m", fake_vectors(["a"], 8), Usage(0, 0), "up")
    other = replace(one, vectors=np.nextafter(one.vectors, np.float32(2)))

    assert write(one, base64=True) != write(other, base64=True)
    assert write(one, base64=False) != write(other, base64=False)
