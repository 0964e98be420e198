"""Puts the layers of every model in order; the only place that knows the order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeAlias, TypeVar

from embedway_gateway.config.schema import ModelConfig, PromptConfig, UpstreamConfig
from embedway_gateway.layers.divide import Divide
from embedway_gateway.layers.fallback import Fallback
from embedway_gateway.layers.limit import Limit
from embedway_gateway.layers.observe import Observe, ObserveAttempt, ObserveRerank
from embedway_gateway.layers.prompt import Prompt, PromptTexts
from embedway_gateway.layers.retry import Budget, Retry
from embedway_gateway.layers.route import Route, Target
from embedway_gateway.layers.shorten import Shorten
from embedway_gateway.layers.space import Reference, SameSpace
from embedway_gateway.layers.split import Split
from embedway_gateway.layers.timeout import Timeout
from embedway_gateway.leaf import embedding_leaf, rerank_leaf
from embedway_gateway.local import Local
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model, UpstreamState
from embedway_upstream import (
    Credentials,
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    Service,
    Transport,
)

__all__ = ["build_model"]

Embed: TypeAlias = Service[EmbeddingRequest, EmbeddingResponse]
Rerank: TypeAlias = Service[RerankRequest, RerankResponse]
Request = TypeVar("Request", EmbeddingRequest, RerankRequest)
Reply = TypeVar("Reply", EmbeddingResponse, RerankResponse)

# Requests that may wait for a slot of one upstream, for each slot it has.
_WAITING = 32


def build_model(
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: Transport,
    metrics: Metrics,
    budget: Budget,
) -> Model:
    """
    Observe → Shorten → Prompt → Split → Retry → Route → the upstreams.

    - Observe is outermost: it must see what every other layer refuses.
    - Shorten stands above all that may store or compare vectors, which are then of full size.
    - Prompt stands above whatever will look at texts: what counts is the text really embedded.
    - Split stands above Retry, so that a piece that failed is tried again alone.
    - Retry stands above Route, so that a second try may land on another upstream, and above the
      leaf, so that every try is signed afresh.
    """
    prompts = _prompts(config)
    states = _upstreams(config, credentials, transport, metrics)
    stack: Embed = Route([state.target for state in states])
    stack = Retry(stack, budget)
    # The smallest of all, because the upstream is chosen below.
    max_inputs = _least(state.leaf.max_inputs for state in states)
    max_bytes = _least(state.leaf.max_bytes for state in states)
    if max_inputs is not None or max_bytes is not None:
        stack = Split(stack, max_inputs=max_inputs, max_bytes=max_bytes)
    model = Model(config, stack, tuple(states), prompts)
    if prompts is None and model.local is not None:
        stack = Prompt(stack, partial(_own_prompts, model.local))
    elif prompts is not None and prompts != PromptTexts():
        stack = Prompt(stack, partial(_same, prompts))
    stack = Shorten(stack, sizes=config.matryoshka, full=lambda: model.dimensions)
    service = Observe(stack, metrics, model=config.name)
    rerank = None
    if "rerank" in config.capabilities:
        rerank = _rerank(config, credentials, transport, metrics, budget)
    return replace(model, service=service, rerank=rerank)


def _rerank(
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: Transport,
    metrics: Metrics,
    budget: Budget,
) -> Rerank:
    """ObserveRerank → Divide → Retry → Route → [Fallback →] ObserveAttempt → Limit → Timeout."""
    targets: list[Target[RerankRequest, RerankResponse]] = []
    sizes = []
    best = min(item.priority for item in config.upstreams)
    for item in config.upstreams:
        leaf, size = rerank_leaf(item, config, credentials, transport)
        sizes.append(size)
        service = _bounded(leaf, item, config, metrics)
        if item.priority > best:
            service = Fallback(service)
        targets.append(Target(item.name, service, priority=item.priority, weight=item.weight))
    stack: Rerank = Retry(Route(targets), budget)
    if (least := _least(sizes)) is not None:
        stack = Divide(stack, max_documents=least)
    return ObserveRerank(stack, metrics, model=config.name)


def _upstreams(
    config: ModelConfig,
    credentials: Mapping[str, Credentials],
    transport: Transport,
    metrics: Metrics,
) -> list[UpstreamState]:
    """
    Each upstream below Route: [Fallback →] [SameSpace →] ObserveAttempt → Limit → Timeout → leaf.

    - SameSpace stands above Limit: its canaries take slots like any call.
    - Limit stands above Timeout: waiting for our own slot is not the upstream's failure.
    - The leaf checks replies: a wrong one is a failure, which Retry and Route must see.
    """
    leaves = [embedding_leaf(item, config, credentials, transport) for item in config.upstreams]
    bounded = [
        _bounded(leaf.service, item, config, metrics)
        for leaf, item in zip(leaves, config.upstreams, strict=True)
    ]
    first = _reference(config)
    reference = Reference(
        config.name,
        config.upstreams[first].name,
        bounded[first],
        # What runs in this process is not replaced under us.
        lasting=config.upstreams[first].engine == "local",
    )
    best = min(item.priority for item in config.upstreams)

    states = []
    for index, item in enumerate(config.upstreams):
        service: Embed = bounded[index]
        space = None
        if index != first:
            space = service = SameSpace(service, reference, upstream=item.name)
        if item.priority > best:
            service = Fallback(service)
        target = Target(item.name, service, priority=item.priority, weight=item.weight)
        states.append(
            UpstreamState(
                name=item.name,
                engine=item.engine,
                priority=item.priority,
                service=bounded[index],
                target=target,
                leaf=leaves[index],
                space=space,
            )
        )
    return states


def _least(bounds: Iterable[int | None]) -> int | None:
    return min((bound for bound in bounds if bound is not None), default=None)


def _reference(config: ModelConfig) -> int:
    """Which upstream defines the vector space: a local model, else the first of best priority."""
    return min(
        range(len(config.upstreams)),
        key=lambda index: (
            config.upstreams[index].engine != "local",
            config.upstreams[index].priority,
        ),
    )


def _bounded(
    leaf: Service[Request, Reply], item: UpstreamConfig, config: ModelConfig, metrics: Metrics
) -> Service[Request, Reply]:
    service: Service[Request, Reply] = Timeout(leaf, seconds=item.timeout, upstream=item.name)
    waiting = item.max_concurrency * _WAITING
    service = Limit(service, concurrency=item.max_concurrency, waiting=waiting)
    return ObserveAttempt(service, metrics, model=config.name, upstream=item.name)


def _prompts(config: ModelConfig) -> PromptTexts | None:
    """The prompts as configured; None when a local model is to tell its own."""
    if isinstance(config.prompts, PromptConfig):
        return PromptTexts(config.prompts.query, config.prompts.document)
    local = any(item.engine == "local" for item in config.upstreams)
    return None if local else PromptTexts()


async def _own_prompts(local: Local) -> PromptTexts:
    space = (await local.load()).space
    return PromptTexts(space.query_prompt, space.document_prompt)


async def _same(prompts: PromptTexts) -> PromptTexts:
    return prompts
