"""Why do two endpoints give different vectors? The usual causes, each put to the proof."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.util import find_spec
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.likeness.measure import cosines
from embedway_gateway.place.place import Place
from embedway_gateway.place.rows import embed_rows
from embedway_upstream import EmbeddingError
from embedway_upstream.embedding import InputType

__all__ = ["PROMPTS", "pooling_cause", "prompt_cause"]

PROMPTS = (
    "query: ",
    "passage: ",
    "search_query: ",
    "search_document: ",
    "Represent this sentence for searching relevant passages: ",
    "Represent this sentence: ",
)
"""What well-known models want before texts, and servers put there or not."""

_PROOF = 0.999

Vectors = NDArray[np.float32]


async def prompt_cause(
    places: tuple[Place, Place], texts: Sequence[str], vectors: tuple[Vectors, Vectors]
) -> str:
    """`vectors` are those of a few short texts; empty where prompts are not the cause."""
    for here, there in ((0, 1), (1, 0)):
        place, other = places[here], places[there]
        try:
            flipped: InputType = "query" if place.input_type == "document" else "document"
            turned = await embed_rows(place, texts, input_type=flipped)
            if _same(turned.vectors, vectors[there]):
                return (
                    f"the prompt differs: {other.label} embeds texts as {place.label} embeds "
                    f"{'queries' if flipped == 'query' else 'documents'}; use the same "
                    f"input_type on both (here: {place.label},input_type={flipped})"
                )
            many = [prompt + text for prompt in PROMPTS for text in texts]
            rows = (await embed_rows(place, many, input_type=place.input_type)).vectors
        except EmbeddingError:
            # A probe is more than what was asked for; that it fails is no failure.
            continue
        for number, prompt in enumerate(PROMPTS):
            part = rows[number * len(texts) : (number + 1) * len(texts)]
            if _same(part, vectors[there]):
                return (
                    f"the prompt differs: {other.label} puts {prompt!r} before each text, and "
                    f"{place.label} does not; set the same `prompts:` for both, or none"
                )
    return ""


async def pooling_cause(
    places: tuple[Place, Place], texts: Sequence[str], vectors: tuple[Vectors, Vectors]
) -> str:
    """
    Pools the model's token vectors in every way, where the model is on this machine; empty where
    it is not, or pooling is not the cause.
    """
    for model in dict.fromkeys(place.model for place in places if place.stored is None):
        if any(place.is_local and place.model == model for place in places) or _is_here(model):
            found = await asyncio.to_thread(_poolings, model, places, texts, vectors)
            if found[0] and found[1] and found[0] != found[1]:
                return (
                    f"the pooling differs: {places[0].label} gives {found[0]} pooling, "
                    f"{places[1].label} gives {found[1]} pooling; start one of them with the "
                    "other's, the one that the model was trained with"
                )
    return ""


def _is_here(model: str) -> bool:
    """Whether it can be opened without a download."""
    if find_spec("onnxruntime") is None:
        return False
    from embedway_local import LocalError, Store, embedway_home

    try:
        return Store(embedway_home()).has(model)
    except (LocalError, ValueError):
        return False


def _poolings(
    model: str,
    places: tuple[Place, Place],
    texts: Sequence[str],
    vectors: tuple[Vectors, Vectors],
) -> list[str | None]:
    """How each of the two pools, where that can be told."""
    from embedway_local import LocalEmbedder, LocalError, Pooling

    found: list[str | None] = [None, None]
    for pooling in get_args(Pooling):
        try:
            with LocalEmbedder(model, device="cpu", pooling=pooling) as embedder:
                for side, place in enumerate(places):
                    inputs = [_prompt(place) + text for text in texts]
                    rows = embedder.embed(inputs, input_type=None)
                    if found[side] is None and _same(rows, vectors[side]):
                        found[side] = pooling
        except LocalError:
            # An export that pools by itself pools in one way only.
            continue
    return found


def _prompt(place: Place) -> str:
    return place.prompts.query if place.input_type == "query" else place.prompts.document


def _same(one: Vectors, other: Vectors) -> bool:
    if one.shape != other.shape or np.isnan(one).any() or np.isnan(other).any():
        return False
    return bool(cosines(one, other).min() >= _PROOF)
