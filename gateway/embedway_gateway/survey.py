"""Reaches every upstream of a configuration and compares their vector spaces."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from embedway_gateway.assemble import assemble
from embedway_gateway.config.schema import Config
from embedway_gateway.layers.space import CANARIES, Canaries, agreement, canary_vectors
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model, UpstreamState
from embedway_gateway.transport import AiohttpTransport
from embedway_upstream import EmbeddingError, RerankRequest

__all__ = ["Finding", "survey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found of one upstream."""

    model: str
    upstream: str
    engine: str
    priority: int
    dimensions: int | None = None
    milliseconds: float | None = None
    """Of one call with one canary text, the mean of eight."""
    cosine: float | None = None
    """The smallest with the reference's vectors; None for the reference itself."""
    problem: str = ""


async def survey(config: Config, *, threshold: float = 0.999) -> list[Finding]:
    """One finding an upstream, in the order of the configuration."""
    transport = AiohttpTransport()
    models, discovered = assemble(config, transport, Metrics())
    findings: list[Finding] = []
    try:
        if discovered is not None:
            await discovered.look()
        for model in models.values():
            findings += await _survey_model(model, threshold)
    finally:
        await transport.close()
        for model in models.values():
            if model.local is not None:
                await model.local.close()
    return findings


async def _survey_model(model: Model, threshold: float) -> list[Finding]:
    reference: Canaries | None = None
    found: dict[str, Finding] = {}
    # The reference first: the others are compared with it.
    for state in sorted(model.upstreams, key=lambda state: state.space is not None):
        if "embed" not in model.config.capabilities:
            found[state.name] = await _ask_to_rerank(model, state)
            continue
        finding, vectors = await _ask(model, state)
        if state.space is None:
            reference = vectors
        elif vectors is not None:
            finding = _compared(finding, reference, vectors, threshold)
        found[state.name] = finding
    return [found[state.name] for state in model.upstreams]


def _plain(model: Model, state: UpstreamState) -> Finding:
    return Finding(
        model=model.name, upstream=state.name, engine=state.engine, priority=state.priority
    )


async def _ask(model: Model, state: UpstreamState) -> tuple[Finding, Canaries | None]:
    plain = _plain(model, state)
    try:
        if state.local is not None:
            await state.local.load()
        started = time.perf_counter()
        vectors = await canary_vectors(state.service, model.name)
    except EmbeddingError as error:
        return replace(plain, problem=_told(error)), None
    spent = (time.perf_counter() - started) * 1000 / len(CANARIES)
    size = next(iter(vectors.values())).shape[0]
    return replace(plain, dimensions=size, milliseconds=spent), vectors


async def _ask_to_rerank(model: Model, state: UpstreamState) -> Finding:
    """Of the model's upstreams together, where they only rerank: there is no space to compare."""
    plain = _plain(model, state)
    assert model.rerank is not None
    started = time.perf_counter()
    try:
        await model.rerank.send(RerankRequest(model.name, CANARIES[1], CANARIES[:4]))
    except EmbeddingError as error:
        return replace(plain, problem=_told(error))
    return replace(plain, milliseconds=(time.perf_counter() - started) * 1000 / 4)


def _told(error: EmbeddingError) -> str:
    detail = f" ({error.detail.splitlines()[0]})" if error.detail else ""
    return f"{error.message}{detail}"


def _compared(
    finding: Finding, reference: Canaries | None, vectors: Canaries, threshold: float
) -> Finding:
    if reference is None:
        problem = "the upstream that defines the vector space does not answer; not compared"
        return replace(finding, problem=problem)
    cosine = agreement(reference, vectors)
    problem = ""
    if cosine < threshold:
        problem = f"another vector space: cosine {cosine:.4f}, at least {threshold} is needed"
    return replace(finding, cosine=cosine, problem=problem)
