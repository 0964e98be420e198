"""The engines by the name that a configuration gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from embedway_upstream.engines.infinity import Infinity
from embedway_upstream.engines.onnx import Onnx, Pooling
from embedway_upstream.engines.openai import OpenAI
from embedway_upstream.engines.ovms import OVMS
from embedway_upstream.engines.tei import TEI
from embedway_upstream.engines.vllm import VLLM

__all__ = ["ENGINES", "Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a configuration says of an upstream's engine; each takes what it knows."""

    model: str | None = None
    """The name that the server expects, when it is not the request's."""
    pooling: Pooling | None = None
    """onnx: how to pool what comes unpooled."""
    prefix: str = ""
    """infinity, and vllm's reranking: what stands before the routes, `/v1` on SAP AI Core."""


ENGINES: Mapping[str, Callable[[Options], OpenAI]] = MappingProxyType(
    {
        "openai": lambda options: OpenAI(model=options.model),
        "tei": lambda options: TEI(model=options.model),
        "ovms": lambda options: OVMS(model=options.model),
        "onnx": lambda options: Onnx(model=options.model, pooling=options.pooling),
        "infinity": lambda options: Infinity(model=options.model, prefix=options.prefix),
        "vllm": lambda options: VLLM(model=options.model, prefix=options.prefix),
    }
)
