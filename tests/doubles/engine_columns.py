"""The columns of the matrix: every engine and version that is stood in for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from doubles.engine_infinity import Infinity
from doubles.engine_openai import OpenAIServer
from doubles.engine_ovms import OVMS
from doubles.engine_score import Score
from doubles.engine_server import EngineServer
from doubles.engine_tei import TEI
from doubles.engine_vllm import VLLM


@dataclass(frozen=True)
class Column:
    """An engine as the configuration names it, its stand-in, and what stands in front of it."""

    engine: str
    make: Callable[..., Any]
    given: Mapping[str, Any] = field(default_factory=dict)
    platform: str = "plain"
    more: Mapping[str, Any] = field(default_factory=dict)
    """Of the upstream's configuration."""

    def server(self, **options: Any) -> Any:
        """A new stand-in."""
        return self.make(**{**self.given, **options})


COLUMNS: Mapping[str, Column] = {
    "tei-1.9": Column("tei", TEI),
    "tei-1.8": Column("tei", TEI, {"version": "1.8.3"}),
    "tei-1.5": Column("tei", TEI, {"version": "1.5.0"}),
    "ovms-2026.3": Column("ovms", OVMS),
    "ovms-2024.5": Column("ovms", OVMS, {"version": "2024.5"}),
    "infinity": Column("infinity", Infinity),
    "infinity-multi": Column("infinity", Infinity, {"others": ("another",)}),
    "vllm-0.33": Column("vllm", VLLM),
    "vllm-0.10": Column("vllm", VLLM, {"version": "0.10.0"}),
    "score-pooled": Column("onnx", Score, {"pooled": True}, "oci"),
    "score-cls": Column("onnx", Score, {}, "oci", {"pooling": "cls"}),
    "score-mean": Column("onnx", Score, {}, "oci", {"pooling": "mean"}),
    "openai": Column("openai", OpenAIServer),
}
RERANKERS = tuple(name for name in COLUMNS if name.startswith(("tei", "ovms", "infinity", "vllm")))


def as_reranker(name: str) -> EngineServer:
    """The column's stand-in with a model that reranks."""
    kinds = {
        "tei": {"kind": "reranker"},
        "infinity": {"capability": "rerank"},
        "vllm": {"task": "score"},
    }
    server: EngineServer = COLUMNS[name].server(**kinds.get(name.partition("-")[0], {}))
    return server


def row(expected: Mapping[str, Any], columns: Sequence[str] = tuple(COLUMNS)) -> Any:
    """
    A test for every column. What is expected stands under the column's name, else under what
    the name begins with, else under "*"; a name that no column uses is a mistake.
    """
    used = {name: _key(name, expected) for name in columns}
    unused = set(expected) - set(used.values())
    assert not unused, f"no column is {unused}"
    return pytest.mark.parametrize(
        ("column", "expected"), [pytest.param(n, expected[key], id=n) for n, key in used.items()]
    )


def _key(name: str, expected: Mapping[str, Any]) -> str:
    return next(key for key in (name, name.partition("-")[0], "*") if key in expected)
