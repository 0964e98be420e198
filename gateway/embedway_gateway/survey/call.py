"""Calls an upstream as the gateway does, and takes the time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.layers.canary import CANARIES, Canaries, canary_vectors
from embedway_gateway.layers.timeout import Timeout
from embedway_gateway.leaf import Leaf, rerank_leaf
from embedway_gateway.survey.means import Means
from embedway_upstream import EmbeddingError, RerankRequest

__all__ = ["Called", "embed", "rerank"]

_DOCUMENTS = CANARIES[:4]


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What became of a task: an error, or its time; to embed also vectors."""

    task: str
    at_once: int | None = None
    """How many inputs the gateway would send."""
    error: EmbeddingError | None = None
    milliseconds: float | None = None
    vectors: Canaries | None = None

    @property
    def size(self) -> int | None:
        """Of the vectors."""
        return next(iter(self.vectors.values())).shape[0] if self.vectors else None


async def embed(leaf: Leaf, item: UpstreamConfig, config: ModelConfig, means: Means) -> Called:
    """The canary texts, each in a call of its own."""
    # What runs here is slow on slow machines, and cannot be unreachable.
    seconds = item.timeout if leaf.local is not None else means.patience(item)
    service = Timeout(leaf.service, seconds=seconds, upstream=item.name)
    started = time.perf_counter()
    try:
        vectors = await canary_vectors(service, config.name)
    except EmbeddingError as error:
        return Called(task="embed", at_once=leaf.max_inputs, error=error)
    spent = (time.perf_counter() - started) * 1000 / len(CANARIES)
    return Called(task="embed", at_once=leaf.max_inputs, milliseconds=spent, vectors=vectors)


async def rerank(item: UpstreamConfig, config: ModelConfig, means: Means, leaf: Leaf) -> Called:
    """Four of the texts, in one call."""
    service, capacity = rerank_leaf(
        item, config, means.credentials, means.transport, local=leaf.reranker
    )
    most = capacity.firm.max_inputs
    seconds = item.timeout if leaf.reranker is not None else means.patience(item)
    service = Timeout(service, seconds=seconds, upstream=item.name)
    started = time.perf_counter()
    try:
        await service.send(RerankRequest(config.name, CANARIES[1], _DOCUMENTS))
    except EmbeddingError as error:
        return Called(task="rerank", at_once=most, error=error)
    spent = (time.perf_counter() - started) * 1000 / len(_DOCUMENTS)
    return Called(task="rerank", at_once=most, milliseconds=spent)
