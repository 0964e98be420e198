"""Answers are passed through with another model's name, and with no other byte changed."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.web.rename import Events, renamed

TEXTS = st.text() | st.sampled_from(["model", '"model":"x"', "\\", '\\"', "{", "]"])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=8,
)
FORMS = st.sampled_from([{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}])


@given(before=st.dictionaries(TEXTS, VALUES), after=st.dictionaries(TEXTS, VALUES), form=FORMS)
def test_only_the_documents_own_model_is_renamed(
    before: dict[str, Any], after: dict[str, Any], form: dict[str, Any]
) -> None:
    for other in (before, after):
        other.pop("model", None)
    after = {key: value for key, value in after.items() if key not in before}
    written = json.dumps({**before, "model": "old", **after}, **form)

    found = renamed(written.encode("utf-8", "surrogatepass"), b'"new"')

    expected = json.dumps({**before, "model": "new", **after}, **form)
    assert expected.encode("utf-8", "surrogatepass") == found


@given(value=VALUES)
def test_a_document_without_a_model_stays_as_it_is(value: Any) -> None:
    if isinstance(value, dict):
        value.pop("model", None)
    written = json.dumps(value).encode()

    assert written == renamed(written, b'"new"')


@given(
    lines=st.lists(
        st.sampled_from(
            [
                b'data: {"id":1,"model":"old","x":"\xc3\xa4"}',
                b'data:{"model" : "old"}',
                b": ping",
                b"",
                b"event: delta",
                b"data: [DONE]",
                b'data: {"text":"\\"model\\":1"}',
            ]
        )
    ),
    ending=st.sampled_from([b"\n", b"\r\n"]),
    cuts=st.lists(st.integers(0, 200)),
)
def test_events_are_the_same_however_they_are_cut(
    lines: list[bytes], ending: bytes, cuts: list[int]
) -> None:
    stream = ending.join(lines)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    passing = Events("new")

    pieces = [passing.feed(stream[a:b]) for a, b in pairwise(places)]

    assert stream.replace(b'"old"', b'"new"') == b"".join(pieces) + passing.end()


def test_a_line_without_an_end_is_not_gathered_for_ever() -> None:
    passing = Events("new")

    got = sum(len(passing.feed(b"x" * 100_000)) for _ in range(30))

    assert got >= 2_000_000
