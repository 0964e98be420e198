from dataclasses import fields, replace

import pytest

from embedway_local import VectorSpace

SPACE = VectorSpace(
    weights="w",
    tokenizer="t",
    dimensions=384,
    pooling="mean",
    max_tokens=256,
    lowercase=False,
    query_prompt="",
    document_prompt="",
)


def test_the_fingerprint_is_short_and_never_changes() -> None:
    """Users write it into configurations."""
    assert "vs1-76014eab0cb9ab07" == SPACE.fingerprint


@pytest.mark.parametrize("name", [field.name for field in fields(VectorSpace)])
def test_every_fact_counts(name: str) -> None:
    old = getattr(SPACE, name)
    new = not old if isinstance(old, bool) else old + 1 if isinstance(old, int) else f"{old}x"

    assert SPACE.fingerprint != replace(SPACE, **{name: new}).fingerprint
