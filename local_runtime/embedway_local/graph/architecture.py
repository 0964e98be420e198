"""Reads `config.json` into the facts of an encoder, without the package `onnx`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from embedway_local.error import ModelUnsupported
from embedway_local.graph.bert import Bert
from embedway_local.graph.distilbert import DistilBert
from embedway_local.graph.gte import Gte
from embedway_local.graph.modernbert import ModernBert
from embedway_local.graph.mpnet import MPNet
from embedway_local.graph.nomic import Nomic
from embedway_local.graph.qwen3 import Qwen3
from embedway_local.graph.roberta import Roberta

if TYPE_CHECKING:
    from collections.abc import Mapping
    from dataclasses import Field

    from embedway_local.checkpoint import Checkpoint
    from embedway_local.graph.parts import Graph
    from embedway_local.graph.weight import Weights
    from embedway_local.setting import Settings

__all__ = ["ARCHITECTURES", "Architecture", "Encoder", "read_encoder"]


class Encoder(Protocol):
    """
    One architecture's facts, and how they become nodes.

    It is a dataclass whose fields are all that the graph depends on besides the weights; they are
    part of the model's fingerprint (`fact.py`).
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def hidden(self) -> int: ...
    @property
    def anchor(self) -> str: ...
    def encode(
        self, graph: Graph, weights: Weights, ids: str, bias: str, types: str | None = None
    ) -> str: ...


class Architecture(Protocol):
    """Reads `config.json` into an encoder."""

    def read(self, config: Settings) -> Encoder: ...


# `model_type` of config.json. A new architecture is one file and one line here.
ARCHITECTURES: Mapping[str, Architecture] = {
    "bert": Bert,
    "camembert": Roberta,
    "distilbert": DistilBert,
    "gte": Gte,
    "modernbert": ModernBert,
    "mpnet": MPNet,
    "new": Gte,
    "nomic_bert": Nomic,
    "qwen3": Qwen3,
    "roberta": Roberta,
    "xlm-roberta": Roberta,
}


def read_encoder(checkpoint: Checkpoint) -> Encoder:
    """The checkpoint's encoder; raises `ModelUnsupported` or `ModelCorrupt`."""
    kind = checkpoint.config.text("model_type")
    if kind not in ARCHITECTURES:
        known = ", ".join(sorted(ARCHITECTURES))
        raise ModelUnsupported(
            f"no graph can be built for {kind!r} (only for {known}); "
            "give a folder that has an ONNX export, onnx/model.onnx"
        )
    return ARCHITECTURES[kind].read(checkpoint.config)
