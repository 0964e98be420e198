"""Examines one upstream: what it says of itself, what it answers, and what that comes to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.layers.canary import Canaries
from embedway_gateway.leaf import Leaf, embedding_leaf
from embedway_gateway.survey.ask import Told, ask
from embedway_gateway.survey.call import Called, embed, rerank
from embedway_gateway.survey.contradiction import notes
from embedway_gateway.survey.finding import Finding
from embedway_gateway.survey.means import Means
from embedway_gateway.survey.problem import problem_of, reachable, told_in_full
from embedway_upstream import EmbeddingError
from embedway_upstream.credentials.renewal import Renewal
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Facts

__all__ = ["Examined", "examine"]

_UNASKED = "nothing can be asked of it that costs nothing: whether it answers is not known"


@dataclass(frozen=True, slots=True)
class Examined:
    """The finding, and the vectors of the canary texts where they came."""

    finding: Finding
    vectors: Canaries | None = None
    agreement: float | None = None
    """The worst cosine of a local model with itself in fp32, where that was measured."""


async def examine(item: UpstreamConfig, config: ModelConfig, means: Means) -> Examined:
    """The upstream by itself; whether its space is the model's is for who has the others'."""
    finding = Finding(
        model=config.name,
        upstream=item.name,
        engine=item.engine,
        platform=item.platform,
        priority=item.priority,
    )
    # Of any size: a wrong one is told, and not refused.
    sizeless = config.model_copy(update={"dimensions": None})
    leaf = embedding_leaf(item, sizeless, means.credentials, means.transport)
    try:
        # First, so that what is wrong with them is not taken for the upstream's.
        if leaf.endpoint is not None:
            await Renewal(leaf.endpoint.credentials).ready()
        if leaf.hosted is not None:
            # Its import takes seconds, which are not the provider's.
            await leaf.hosted.library.load()
        told, calls = await _heard(leaf, item, config, means)
    except EmbeddingError as error:
        return Examined(replace(finding, problem=told_in_full(error)))
    finally:
        for model in (leaf.local, leaf.reranker):
            if model is not None:
                await model.close()
    problem = await problem_of(calls, told=told, leaf=leaf, item=item, config=config, means=means)
    vectors = next((call.vectors for call in calls if call.vectors is not None), None)
    facts = leaf.local.facts if leaf.local is not None else None
    return Examined(
        _described(finding, told, calls, config, problem),
        vectors,
        None if facts is None else facts.agreement,
    )


async def _heard(
    leaf: Leaf, item: UpstreamConfig, config: ModelConfig, means: Means
) -> tuple[Told, list[Called]]:
    if leaf.local is not None:
        loaded = await leaf.local.load()
        facts = Facts(limits=Limits(max_tokens=loaded.max_tokens), truncates=True)
        return Told(facts, reachable=True), [await embed(leaf, item, config, means)]
    if leaf.reranker is not None:
        longest = (await leaf.reranker.load()).max_tokens
        facts = Facts(limits=Limits(max_tokens=longest), truncates=True)
        return Told(facts, reachable=True), [await rerank(item, config, means, leaf)]
    tasks = []
    if "embed" in config.capabilities:
        tasks.append(embed(leaf, item, config, means))
    if "rerank" in config.capabilities:
        tasks.append(rerank(item, config, means, leaf))
    return await asyncio.gather(_told(leaf, means), asyncio.gather(*tasks))


async def _told(leaf: Leaf, means: Means) -> Told:
    return Told() if leaf.endpoint is None else await ask(leaf.endpoint, means.transport)


def _described(
    finding: Finding, told: Told, calls: list[Called], config: ModelConfig, problem: str
) -> Finding:
    facts = told.facts
    times = {call.task: call.milliseconds for call in calls}
    sent = [call.at_once for call in calls if call.at_once is not None]
    noted = () if problem else notes(facts, config, max(sent, default=None))
    if not calls and told.reachable is None:
        noted = (_UNASKED,)
    return replace(
        finding,
        reachable=reachable(told, calls),
        version=facts.version,
        models=facts.models,
        capabilities=facts.capabilities,
        max_inputs=facts.limits.max_inputs,
        max_tokens=facts.limits.max_tokens,
        truncates=facts.truncates,
        dimensions=next((call.size for call in calls if call.size is not None), None),
        milliseconds=times.get("embed"),
        rerank_milliseconds=times.get("rerank"),
        notes=noted,
        problem=problem,
    )
