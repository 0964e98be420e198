"""Eight texts, short and long, and what may be refused of them."""

from __future__ import annotations

import pytest

from doubles.time import Time
from embedway_gateway.layers.agreement import agreement
from embedway_gateway.layers.canary import CANARIES, SHORT, Canaries, Overdue, canary_vectors
from embedway_gateway.precision import AGREEMENT
from embedway_local import LocalEmbedder
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    InputTooLong,
    InvalidRequest,
    UpstreamDefect,
    UpstreamTimeout,
)
from embedway_upstream.platforms.error import AmbiguousFailure
from embedway_upstream.testing import FakeEmbedder

# What models are made for, and cut at.
MAXIMA = [128, 256, 384, 512]


class Refusing(FakeEmbedder):
    """Refuses texts of at least so many characters."""

    def __init__(self, error: EmbeddingError, length: int) -> None:
        super().__init__()
        self._error = error
        self._length = length
        self.refused = 0

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        if len(request.inputs[0]) >= self._length:
            self.refused += 1
            raise self._error
        return await super().send(request)


@pytest.mark.parametrize("number", range(SHORT, len(CANARIES)))
async def test_a_text_that_is_said_to_be_too_long_is_left_out(number: int) -> None:
    found = await canary_vectors(Refusing(InputTooLong("x"), len(CANARIES[number])), "m")

    assert list(range(number)) == list(found)


@pytest.mark.parametrize(
    "refusal",
    [InvalidRequest("x"), UpstreamDefect("x"), UpstreamTimeout("x"), AmbiguousFailure("x")],
    ids=lambda refusal: type(refusal).__name__,
)
@pytest.mark.parametrize("number", range(1, len(CANARIES)))
async def test_in_other_words_only_the_last_two_may_be_refused(
    refusal: EmbeddingError, number: int
) -> None:
    service = Refusing(refusal, len(CANARIES[number]))
    if number >= len(CANARIES) - 2:
        assert list(range(number)) == list(await canary_vectors(service, "m"))
    else:
        with pytest.raises(type(refusal)):
            await canary_vectors(service, "m")


@pytest.mark.parametrize("number", range(SHORT))
async def test_a_short_text_is_too_long_for_nobody(number: int) -> None:
    with pytest.raises(InputTooLong):
        await canary_vectors(Refusing(InputTooLong("x"), len(CANARIES[number])), "m")


@pytest.mark.parametrize("late", [UpstreamTimeout("x"), AmbiguousFailure("x")])
@pytest.mark.parametrize("number", [len(CANARIES) - 2, len(CANARIES) - 1])
async def test_what_takes_too_long_is_asked_for_rarely(late: EmbeddingError, number: int) -> None:
    """It is a minute of work each time."""
    time = Time()
    overdue, service = Overdue(time), Refusing(late, len(CANARIES[number]))
    asked = []
    for _ in range(24):
        before = service.refused
        assert list(range(number)) == list(await canary_vectors(service, "m", overdue))
        asked.append(service.refused - before)
        time.now += 301

    assert [1, 0, 1, 0, 0, 0, 1] == asked[:7], "after ten minutes, and then after twenty"
    assert 4 == sum(asked)

    time.now += 3600
    assert len(CANARIES) == len(await canary_vectors(FakeEmbedder(), "m", overdue))
    assert list(range(number)) == list(await canary_vectors(service, "m", overdue))
    assert 5 == service.refused, "and then it is asked for each time"


def test_they_are_eight_and_grow() -> None:
    lengths = [len(text) for text in CANARIES]

    assert lengths == sorted(lengths)
    assert len(set(CANARIES)) == len(CANARIES) == 8
    assert lengths[-1] > 4 * 6000, "beyond any model: a token has about four characters"


@pytest.fixture(scope="module")
def found(model_in_store: str) -> dict[int, Canaries]:
    """The default model's vectors, cut at each of the maxima; the longest text is refused."""
    every = {}
    for most in MAXIMA:
        with LocalEmbedder(model_in_store, max_tokens=most) as embedder:
            every[most] = dict(enumerate(embedder.embed(CANARIES[:-1])))
    return every


@pytest.mark.parametrize("one", MAXIMA)
@pytest.mark.parametrize("other", MAXIMA)
def test_models_that_cut_at_different_lengths_are_told_apart(
    found: dict[int, Canaries], one: int, other: int
) -> None:
    """Also where the text beyond all maxima is refused, and so says nothing."""
    agreed = agreement(found[one], found[other])

    assert agreed.short == pytest.approx(1)
    assert (agreed.worst >= AGREEMENT["fp32"]) == (one == other)
    assert (agreed.worst >= AGREEMENT["int8"]) == (one == other)
