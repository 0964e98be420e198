"""The tag's small language."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedway_gateway.discovery.command import read_options, split
from embedway_gateway.discovery.tag import Tag, read_tag


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("off", Tag(hidden=True)),
        ("BAAI/bge-base-en-v1.5", Tag(name="BAAI/bge-base-en-v1.5")),
        ("name=a/b", Tag(name="a/b")),
        ("a/b, engine=ONNX,pooling=cls", Tag(name="a/b", engine="onnx", pooling="cls")),
        ("engine=vllm, invoke=route, model=m", Tag(engine="vllm", invoke="route", model="m")),
        ("a, path=/x, dimensions=384", Tag(name="a", path="/x", dimensions=384)),
        ("a, revision=2026-02", Tag(name="a", revision="2026-02")),
        (
            "a, capabilities=embed+rerank",
            Tag(name="a", capabilities=frozenset({"embed", "rerank"})),
        ),
        ("  ", None),
    ],
)
def test_what_it_says(value: str, expected: Tag | None) -> None:
    assert expected == read_tag({"other": "x", "Embedway": value})


@pytest.mark.parametrize(
    "value",
    [
        "a,b",
        "a,name=b",
        "colour=red",
        "engine=triton",
        "invoke=post",
        "path=x",
        "dimensions=many",
        "dimensions=0",
        "dimensions=²",
        "capabilities=embed+see",
        "pooling=max",
    ],
)
def test_a_mistake_is_named(value: str) -> None:
    with pytest.raises(ValueError):
        read_tag({"embedway": value})


@given(st.text(max_size=60))
def test_any_value_is_read_or_refused(value: str) -> None:
    with contextlib.suppress(ValueError):
        read_tag({"embedway": value})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--a", "b", "c", "--d"], {"a": ("b", "c"), "d": ()}),
        (["--served_model_name=x=y"], {"served-model-name": ("x=y",)}),
        (["x", "-p", "--A", "1", "--a", "2"], {"a": ("2",)}),
        ([], {}),
    ],
)
def test_options(words: list[str], expected: dict[str, tuple[str, ...]]) -> None:
    assert expected == read_options(words)


def test_a_line_is_split_as_a_shell_would() -> None:
    assert ["--a", "b c"] == split("--a 'b c'")
    assert ["it's", "--a"] == split("it's --a")
