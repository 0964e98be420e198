"""Turns a cross-encoder's last hidden state into one score a pair, inside the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from onnx import TensorProto

from embedway_local.error import ModelUnsupported
from embedway_local.graph.block import Blocks, activation
from embedway_local.graph.pool import pool

if TYPE_CHECKING:
    from embedway_local.graph.parts import Graph
    from embedway_local.pooling import Pooling
    from embedway_local.scoring import Activation
    from embedway_local.setting import Settings

__all__ = ["HEADS", "TYPED", "activate", "require_head", "score"]

# The encoders that know token types.
TYPED = frozenset({"bert", "gte", "new"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a head is added: behind an encoder, whose tensors may have a prefix."""

    encoder: Blocks
    beside: Blocks
    """For the head's own tensors, which stand beside the encoder's."""
    config: Settings
    tokens: str
    mask: str
    hidden: int

    def first(self) -> str:
        """The first token's vector."""
        return pool(self.encoder.graph, self.tokens, self.mask, "cls")


_Head: TypeAlias = Callable[[_Place], str]


def score(blocks: Blocks, config: Settings, tokens: str, *, mask: str, hidden: int) -> str:
    """
    The logit of each pair, (batch, 1), as transformers' model for one label computes it.

    `tokens` are (batch, length, hidden), `mask` is one where there is a token. Raises
    `ModelCorrupt` when the head's tensors are missing or are of several labels.
    """
    beside = Blocks(blocks.graph, blocks.weights.above(), blocks.shape)
    place = _Place(
        encoder=blocks, beside=beside, config=config, tokens=tokens, mask=mask, hidden=hidden
    )
    return HEADS[config.text("model_type")](place)


def require_head(kind: str) -> None:
    """Raise `ModelUnsupported` for an architecture whose head is not built."""
    if kind not in HEADS:
        raise ModelUnsupported(
            f"no cross-encoder can be built for {kind!r} (only for {', '.join(sorted(HEADS))}); "
            "give a folder that has an ONNX export and no weights, onnx/model.onnx"
        )


def activate(graph: Graph, logits: str, kind: Activation) -> str:
    """What `CrossEncoder` makes of a logit."""
    single = graph.add("Cast", logits, to=TensorProto.FLOAT)
    return graph.add("Sigmoid", single) if kind == "sigmoid" else single


def _pooled(place: _Place) -> str:
    """BERT and GTE: through the encoder's own pooler."""
    wide = place.encoder.linear("pooler.dense", place.first(), place.hidden, place.hidden)
    wide = place.encoder.graph.add("Tanh", wide)
    return place.beside.linear("classifier", wide, place.hidden, 1)


def _projected(place: _Place) -> str:
    """RoBERTa and MPNet: a head of two projections."""
    wide = place.beside.linear("classifier.dense", place.first(), place.hidden, place.hidden)
    wide = place.beside.graph.add("Tanh", wide)
    return place.beside.linear("classifier.out_proj", wide, place.hidden, 1)


def _distilled(place: _Place) -> str:
    wide = place.beside.linear("pre_classifier", place.first(), place.hidden, place.hidden)
    wide = place.beside.graph.add("Relu", wide)
    return place.beside.linear("classifier", wide, place.hidden, 1)


def _modern(place: _Place) -> str:
    """ModernBERT: pooled as its settings say, projected and normalised."""
    config, beside, hidden = place.config, place.beside, place.hidden
    pooling = config.text("classifier_pooling", default="cls")
    if pooling not in {"cls", "mean"}:
        raise ModelUnsupported(f"{config.source}: classifier_pooling {pooling!r}")
    kind: Pooling = "cls" if pooling == "cls" else "mean"
    pooled = pool(beside.graph, place.tokens, place.mask, kind)
    biased = config.flag("classifier_bias")
    wide = beside.linear("head.dense", pooled, hidden, hidden, bias=biased)
    wide = beside.activate(wide, activation(config, "classifier_activation", default="gelu"))
    epsilon = config.real("norm_eps", default=1e-5)
    wide = beside.norm("head.norm", wide, hidden, epsilon, bias=config.flag("norm_bias"))
    return beside.linear("classifier", wide, hidden, 1)


HEADS: Mapping[str, _Head] = {
    "bert": _pooled,
    "camembert": _projected,
    "distilbert": _distilled,
    "gte": _pooled,
    "modernbert": _modern,
    "mpnet": _projected,
    "new": _pooled,
    "roberta": _projected,
    "xlm-roberta": _projected,
}
