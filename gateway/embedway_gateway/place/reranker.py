"""A reranker that is open: how relevant does it find documents?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from embedway_gateway.config.schema import UpstreamConfig
from embedway_gateway.layers.timeout import Timeout
from embedway_gateway.leaf import rerank_leaf
from embedway_gateway.local_rerank import LocalRerank
from embedway_gateway.place.error import PlaceError
from embedway_gateway.place.option import number
from embedway_gateway.place.resolve import Resolved, resolve
from embedway_gateway.place.rows import patient
from embedway_gateway.place.syntax import Spec, parse
from embedway_gateway.runtime import Loads
from embedway_gateway.runtimes import Runtimes
from embedway_gateway.wire import make_transport
from embedway_upstream import RerankRequest, RerankResponse, Service
from embedway_upstream.proxy import read_proxies

__all__ = ["Reranker", "opened_reranker"]

_WITHOUT = ("openai", "onnx")
_NOT_TAKEN = ("dimensions", "input_type", "prompt", "query_prompt", "document_prompt", "pooling")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reranker:
    """Where documents can be scored; `score` raises an `EmbeddingError`."""

    label: str
    model: str
    engine: str
    service: Service[RerankRequest, RerankResponse]
    max_documents: int | None

    async def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """One a document, in their order; what passes with time is tried again."""
        step = self.max_documents or len(documents) or 1
        found: list[float] = []
        for start in range(0, len(documents), step):
            part = tuple(documents[start : start + step])
            request = RerankRequest(self.model, query, part)
            response = await patient(partial(self.service.send, request))
            scores = {one.index: one.relevance_score for one in response.results}
            found += [scores[index] for index in range(len(part))]
        return found


@asynccontextmanager
async def opened_reranker(
    written: str, *, engine: str = "tei", config: Path | None = None
) -> AsyncIterator[Reranker]:
    """
    The reranker, until the block ends. Raises `PlaceError` for what is wrongly written,
    `EmbeddingError` or `ConfigError` for what cannot be had.
    """
    spec = parse(written)
    for name in _NOT_TAKEN:
        if name in spec.options:
            raise PlaceError(f"{spec.label}: a reranker has no {name}=")
    found = resolve(spec, engine=engine, config=config, capability="rerank")
    if found.item.engine == "local":
        async with _local(spec, found) as reranker:
            yield reranker
        return
    named = (spec.engine or engine) if spec.kind == "url" else found.item.engine
    item = _dialect(spec, found.item, named)
    model = found.model.model_copy(update={"capabilities": ("rerank",)})
    transport = make_transport(read_proxies())
    try:
        service, capacity = rerank_leaf(item, model, found.credentials, transport, local=None)
        yield Reranker(
            label=spec.label,
            model=item.model or model.name,
            engine=named,
            service=Timeout(service, seconds=item.timeout, upstream=spec.label),
            max_documents=capacity.firm.max_inputs,
        )
    finally:
        await transport.close()


def _dialect(spec: Spec, item: UpstreamConfig, named: str) -> UpstreamConfig:
    if named == "embedway":
        # Our gateway has Cohere's shape at OpenAI's path, as vLLM does.
        return item.model_copy(update={"engine": "vllm"})
    if spec.kind == "url" and named in _WITHOUT:
        raise PlaceError(
            f"{spec.label}: {named} does not rerank; write tei+, infinity+, ovms+, vllm+ or "
            "embedway+ before the address"
        )
    return item


@asynccontextmanager
async def _local(spec: Spec, found: Resolved) -> AsyncIterator[Reranker]:
    if spec.kind == "local" and not spec.where:
        raise PlaceError(f"{spec.label}: name the cross-encoder, as local:MODEL")
    name = found.item.model or found.model.name
    longest = number(spec, "max_tokens") or found.model.max_tokens
    loads = Loads(name, spec.options.get("device", found.item.device), longest)
    local = LocalRerank(spec.label, Runtimes().ranker(spec.label, loads))
    try:
        await local.load()
        yield Reranker(
            label=spec.label, model=name, engine="local", service=local, max_documents=None
        )
    finally:
        await local.close()
