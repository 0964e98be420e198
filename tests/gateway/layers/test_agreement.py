"""How exactly vectors must agree, by their number formats, and what is said where they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike

from doubles.space import Disturbed, Scaled, candidate, guard
from embedway_gateway.layers.agreement import Agreement, agreement, difference
from embedway_gateway.layers.canary import CANARIES, SHORT
from embedway_gateway.layers.reference import Reference
from embedway_gateway.precision import AGREEMENT, Precision, needed
from embedway_upstream import EmbeddingRequest, WrongSpace
from embedway_upstream.testing import FakeEmbedder, fake_vectors

REQUEST = EmbeddingRequest("m", ("a",))
PRECISIONS = get_args(Precision)

VECTORS = dict(enumerate(fake_vectors(CANARIES, 8)))


def test_agreement_is_the_worst_cosine_whatever_the_lengths() -> None:
    longer = agreement(VECTORS, {key: row * 3 for key, row in VECTORS.items()})
    assert (1, 1, 1 / 3) == pytest.approx((longer.short, longer.long, longer.ratio))
    assert (True, False) == longer.unit
    assert -1 == pytest.approx(agreement(VECTORS, {**VECTORS, 1: -VECTORS[1]}).short)
    assert -1 == agreement(VECTORS, {**VECTORS, 7: np.zeros(4, np.float32)}).long


@given(st.sets(st.integers(SHORT, len(CANARIES) - 1)))
def test_a_text_that_one_refuses_says_nothing(refused: set[int]) -> None:
    some = {number: row for number, row in VECTORS.items() if number not in refused}

    assert agreement(VECTORS, some).worst == pytest.approx(1)
    assert agreement(some, VECTORS).worst == pytest.approx(1)


@given(st.integers(0, len(CANARIES) - 1), st.floats(-1, 1))
def test_agreement_is_the_same_seen_from_either_side(number: int, share: float) -> None:
    other = {**VECTORS, number: VECTORS[number] + np.float32(share) * VECTORS[0][::-1]}

    one, two = agreement(VECTORS, other), agreement(other, VECTORS)

    assert (one.short, one.long) == pytest.approx((two.short, two.long))
    assert one.worst == min(one.short, one.long)


@pytest.mark.parametrize("one", PRECISIONS)
@pytest.mark.parametrize("other", PRECISIONS)
def test_the_looser_number_format_decides(one: Precision, other: Precision) -> None:
    assert needed(one, other, None) == min(AGREEMENT[one], AGREEMENT[other])
    assert needed(one, other, 0.5) == 0.5


@pytest.mark.parametrize(
    ("measured", "stated", "least"),
    [
        ((None, None), None, 0.97),
        ((0.998, None), None, 0.992),
        ((0.5, None), None, 0.97),
        ((0.999999, None), None, 0.999),
        ((0.998, None), 0.9, 0.9),
    ],
)
def test_what_was_measured_takes_the_place_of_the_class(
    measured: tuple[float | None, float | None], stated: float | None, least: float
) -> None:
    assert needed("int8", "fp32", stated, measured=measured) == pytest.approx(least)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("of_reference", [True, False])
@pytest.mark.parametrize("aside", [-0.0005, 0.0005])
async def test_an_upstream_serves_from_the_agreement_of_its_number_format_on(
    precision: Precision, of_reference: bool, aside: float
) -> None:
    inner = Disturbed(AGREEMENT[precision] + aside)
    formats: tuple[Precision, Precision] = ("fp32", precision)
    theirs, ours = formats[:: -1 if of_reference else 1]
    reference = Reference("m", [candidate("first", FakeEmbedder(), theirs)])
    space = guard("second", inner, reference, precision=ours)

    if aside > 0:
        await space.send(REQUEST)
    else:
        with pytest.raises(WrongSpace, match=f"at least {AGREEMENT[precision]} is needed"):
            await space.send(REQUEST)


@pytest.mark.parametrize(("cosine", "served"), [(0.949, False), (0.951, True)])
async def test_what_is_stated_goes_before_the_number_formats(cosine: float, served: bool) -> None:
    reference = Reference("m", [candidate("first", FakeEmbedder())], least=0.95)
    space = guard("second", Disturbed(cosine), reference)

    if served:
        await space.send(REQUEST)
    else:
        with pytest.raises(WrongSpace):
            await space.send(REQUEST)


def raw(text: str) -> float:
    """The length of a vector that nothing normalised."""
    return 5.0 + len(text) % 7


@pytest.mark.parametrize(
    ("theirs", "ours", "cure"),
    [
        (Scaled(), Scaled(raw), "missing here: switch it on .`normalize_embeddings`"),
        (Scaled(raw), Scaled(), "missing at the reference: switch it on there .*, or off here"),
        (Scaled(raw), Scaled(lambda text: 1.1 * raw(text)), "normalise at both"),
    ],
)
async def test_vectors_of_other_lengths_are_another_space(
    theirs: Scaled, ours: Scaled, cure: str
) -> None:
    """A dot product would rank them by who served them."""
    reference = Reference("m", [candidate("first", theirs)])
    space = guard("second", ours, reference)

    with pytest.raises(WrongSpace, match=f"agree, but not the lengths; .*{cure}"):
        await space.send(REQUEST)
    assert REQUEST not in ours.requests


@pytest.mark.parametrize("length", [lambda _text: 1.0, raw], ids=["unit", "raw"])
@pytest.mark.parametrize(
    ("precision", "dtype", "scale", "least"),
    [
        ("fp32", np.float16, 1.0, None),
        # However exactly they are to agree, the digits of a normalised vector do not decide.
        ("fp32", np.float16, 0.99, 0.999999),
        ("fp32", np.float32, 1.02, None),
        ("int8", np.float32, 0.9, None),
    ],
)
async def test_lengths_that_differ_by_what_the_number_format_loses_are_the_same(
    length: Callable[[str], float],
    precision: Precision,
    dtype: DTypeLike,
    scale: float,
    least: float | None,
) -> None:
    reference = Reference("m", [candidate("first", Scaled(length))], least=least)
    ours = Scaled(lambda text: scale * length(text), dtype)
    space = guard("second", ours, reference, precision=precision)

    assert "fake" == (await space.send(REQUEST)).served_by


@pytest.mark.parametrize("least", [0.999, 0.97, 0.5, 0.01])
@pytest.mark.parametrize("scale", [7.3, 0.1])
async def test_whatever_is_stated_a_missing_normalisation_is_seen(
    least: float, scale: float
) -> None:
    reference = Reference("m", [candidate("first", FakeEmbedder())], least=least)

    with pytest.raises(WrongSpace, match="the normalisation is missing here"):
        await guard("second", Scaled(lambda _text: scale), reference).send(REQUEST)


async def test_one_that_loses_its_normalisation_serves_another_model() -> None:
    only = Scaled()
    reference = Reference("m", [candidate("only", only)])
    await guard("only", only, reference).send(REQUEST)
    only.length = raw

    await guard("only", only, reference).send(REQUEST)

    assert 1 == reference.mark.changes


def test_where_only_long_texts_differ_the_cure_is_their_length() -> None:
    told = difference(Agreement(short=0.9999, long=0.95), 0.999)

    assert "the same on short texts, different on long ones" in told
    assert "`max_tokens:`" in told
    assert "cut" not in difference(Agreement(short=0.2, long=0.1), 0.999)
    assert "`precision:`" in difference(Agreement(short=0.99, long=0.98), 0.999)
