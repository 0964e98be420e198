"""Keys tell apart whatever is embedded apart; values are what was stored, or nothing."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.cache.key import digests
from embedway_gateway.cache.value import Known, pack, seal, unpack, unseal

KEY = bytes(range(32))


@given(st.lists(st.text(), min_size=2, max_size=5, unique=True))
def test_different_texts_have_different_keys(texts: list[str]) -> None:
    assert len(texts) == len(set(digests(texts, ("space",))))


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_different_facts_make_different_keys(one: list[str], other: list[str]) -> None:
    same = digests(["a text"], one) == digests(["a text"], other)

    assert (one == other) == same


# So that a text may hold what a fact before it would be written as.
_WRITTEN = st.text(st.sampled_from("\0\1\2a"), max_size=8)
_NAMED = st.tuples(st.lists(_WRITTEN, max_size=3), _WRITTEN)


def _as_facts(facts: list[str]) -> str:
    return "".join(len(fact).to_bytes(4, "big").decode() + fact for fact in facts)


@given(_NAMED, _NAMED)
def test_no_text_reads_like_facts_and_another_text(
    one: tuple[list[str], str], other: tuple[list[str], str]
) -> None:
    same = digests([one[1]], one[0]) == digests([other[1]], other[0])

    assert (one == other) == same


@given(st.lists(_WRITTEN, max_size=3), st.lists(_WRITTEN, min_size=1, max_size=3), _WRITTEN)
def test_a_text_that_is_written_like_further_facts_has_a_key_of_its_own(
    facts: list[str], more: list[str], text: str
) -> None:
    crafted = _as_facts(more) + text

    assert digests([crafted], facts) != digests([text], [*facts, *more])


def test_a_key_is_a_whole_digest_and_stays_the_same() -> None:
    """Another key for the same text would throw away what a shared Redis holds."""
    form = b"\0\0\0\x02" + b"\0\0\0\x10embedway-cache-2"
    facts = form + b"\0\0\0\x05space" + b"\0\0\0\x05query"
    text = b"Gr\xc3\xb6\xc3\x9fe \xed\xa0\x80"
    (key,) = digests(["Größe \ud800"], ("space", "query"))

    assert hashlib.sha256(facts + text).digest() == key


@pytest.mark.parametrize("pair", [("a ", "a"), ("A", "a"), ("é", "e\u0301"), ("", " ")])
def test_texts_are_compared_byte_for_byte(pair: tuple[str, str]) -> None:
    assert 2 == len(set(digests(pair, ("space",))))


@given(st.integers(0, 2**31), st.booleans(), st.binary(max_size=64))
def test_a_value_comes_back_as_it_was(tokens: int, estimated: bool, vector: bytes) -> None:
    known = Known(tokens, estimated, vector)

    assert known == unpack(pack(known))
    assert pack(known) == unseal(KEY, seal(KEY, pack(known)))


@given(st.data())
def test_a_sealed_value_that_was_touched_is_nothing(data: st.DataObject) -> None:
    sealed = bytearray(seal(KEY, pack(Known(3, False, bytes(16)))))
    place = data.draw(st.integers(0, len(sealed) - 1))
    sealed[place] ^= data.draw(st.integers(1, 255))

    assert unseal(KEY, bytes(sealed)) is None


@pytest.mark.parametrize("foreign", [b"", b"\x01", b"OK", b"x" * 500, 7, "text", None, []])
def test_what_others_wrote_is_nothing(foreign: object) -> None:
    assert unseal(KEY, foreign) is None


def test_the_value_of_another_text_is_nothing() -> None:
    assert unseal(KEY, seal(KEY[::-1], b"value")) is None
