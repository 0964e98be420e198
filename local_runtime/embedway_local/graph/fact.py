"""Tells what of `config.json` decides a model's vectors, for the name of its vector space."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from embedway_local.graph.architecture import read_encoder
from embedway_local.graph.bert import Bert

if TYPE_CHECKING:
    from collections.abc import Mapping

    from embedway_local.checkpoint import Checkpoint

__all__ = ["deciding"]

# Facts that make no other vectors of the same weights: what the tensors are called, and how many
# positions there are. Of learned ones the weights have a row each; of others it bounds the length.
_IDLE = {"published", "positions"}


def deciding(checkpoint: Checkpoint) -> str:
    """
    What decides the vectors besides the weights, as JSON; empty where that is nothing.

    Its names and values are part of fingerprints, which users keep with their indexes: a field of
    an encoder that gets another name, or another value of the same settings, changes them. Raises
    `ModelUnsupported` or `ModelCorrupt`.
    """
    if checkpoint.onnx is not None:
        return ""  # The export has all of it inside.
    encoder = read_encoder(checkpoint)
    if isinstance(encoder, Bert) and encoder.usual and _whole(checkpoint, encoder):
        # Fingerprints once had nothing of config.json, and are kept. Those of nearly all BERTs and
        # RoBERTas may stay: the same weights do not make two that are usual and whole.
        return ""
    return json.dumps(_without_idle(asdict(encoder)), sort_keys=True)


def _whole(checkpoint: Checkpoint, encoder: Bert) -> bool:
    """Are all layers of the weights run?"""
    # Imported here: a model that was built is opened without reading its weights, else.
    from embedway_local.graph.weight import read_weights

    weights = read_weights(list(checkpoint.weights), encoder.anchor)
    return not weights.has(f"encoder.layer.{encoder.layers}.output.dense.weight")


def _without_idle(facts: Mapping[str, object]) -> dict[str, object]:
    return {
        name: _without_idle(value) if isinstance(value, dict) else value
        for name, value in facts.items()
        if name not in _IDLE
    }
