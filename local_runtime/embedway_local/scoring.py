"""What a cross-encoder's folder says of its scores: their activation, and the pairs' types."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_local.error import ModelUnsupported
from embedway_local.setting import Settings, read_settings

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["Activation", "Scoring", "read_scoring"]

Activation: TypeAlias = Literal["sigmoid", "identity"]

_HEAD = "ForSequenceClassification"
# Their tokenizers give no token types, whatever tokenizer.json makes of a pair.
_UNTYPED = ("Camembert", "DistilBert", "MPNet", "Roberta", "XLMRoberta")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How a pair's logit becomes its score."""

    activation: Activation
    typed: bool
    """Does the model see which of the two texts a token is of?"""


def read_scoring(checkpoint: Checkpoint) -> Scoring:
    """
    Read what sentence-transformers' `CrossEncoder` reads.

    The activation is sigmoid unless the folder says otherwise. Raises `ModelUnsupported` for a
    model that gives no single score.
    """
    config = checkpoint.config
    if not any(name.endswith(_HEAD) for name in config.names("architectures")):
        raise ModelUnsupported(
            f"{checkpoint.folder}: not a cross-encoder (its architecture is no …{_HEAD}); "
            "LocalEmbedder runs embedding models"
        )
    labels = config.values.get("id2label")
    if isinstance(labels, dict) and len(labels) != 1:
        raise ModelUnsupported(
            f"{checkpoint.folder}: it has {len(labels)} labels; a reranker has one score"
        )
    if config.values.get("problem_type") not in (None, "regression"):
        raise ModelUnsupported(f"{checkpoint.folder}: its problem_type is no score")
    own = read_settings(checkpoint.folder / "config_sentence_transformers.json")
    name = own.values.get("default_prompt_name")
    if isinstance(name, str) and own.texts("prompts").get(name):
        raise ModelUnsupported(
            f"{checkpoint.folder}: it puts a prompt before its queries ({name[:99]!r}, its "
            "default_prompt_name), which this runtime does not do"
        )
    return Scoring(activation=_activation(checkpoint), typed=_typed(checkpoint))


def _activation(checkpoint: Checkpoint) -> Activation:
    config = checkpoint.config
    own = read_settings(checkpoint.folder / "config_sentence_transformers.json")
    inner = config.values.get("sentence_transformers")
    if not isinstance(inner, dict):
        inner = {}
    stated = (
        own.values.get("activation_fn"),
        inner.get("activation_fn"),
        config.values.get("sbert_ce_default_activation_function"),
    )
    name = next((value for value in stated if value is not None), "torch.nn.Sigmoid")
    known: dict[object, Activation] = {"Sigmoid": "sigmoid", "Identity": "identity"}
    kind = name.rpartition(".")[2] if isinstance(name, str) and name.startswith("torch.") else name
    if not isinstance(kind, str) or kind not in known:
        raise ModelUnsupported(f"{checkpoint.folder}: activation {name!r} is not supported")
    return known[kind]


def _typed(checkpoint: Checkpoint) -> bool:
    settings: Settings = read_settings(checkpoint.folder / "tokenizer_config.json")
    inputs = settings.names("model_input_names")
    if inputs:
        return "token_type_ids" in inputs
    return not settings.text("tokenizer_class", default="").startswith(_UNTYPED)
