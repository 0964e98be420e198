"""Puts the layers of every model in order: all that stands above its upstreams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias, TypeVar

from embedway_gateway.cache.ledger import Ledger
from embedway_gateway.cache.store import Store
from embedway_gateway.cache.witness import Witness
from embedway_gateway.comparison import NO_IDENTITIES
from embedway_gateway.config.schema import ModelConfig, PromptConfig
from embedway_gateway.layers.cache import Cache
from embedway_gateway.layers.coalesce import Coalesce
from embedway_gateway.layers.divide import Divide
from embedway_gateway.layers.hedge import Hedge, Hedging
from embedway_gateway.layers.observe import Observe, ObserveChat, ObserveRerank
from embedway_gateway.layers.prompt import Prompt, PromptTexts
from embedway_gateway.layers.reference import Candidate, Reference
from embedway_gateway.layers.retry import Retry
from embedway_gateway.layers.route import Route
from embedway_gateway.layers.shorten import Shorten
from embedway_gateway.layers.split import Split
from embedway_gateway.layers.steady import Steady
from embedway_gateway.layers.travel import Travel
from embedway_gateway.local import Local
from embedway_gateway.model import Model, UpstreamState
from embedway_gateway.phase import Phases
from embedway_gateway.precision import needed
from embedway_gateway.shared import Shared
from embedway_gateway.upstreams import chat_targets, embedding_upstreams, rerank_targets
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    Service,
)
from embedway_upstream.chat import ChatReply, ChatRequest

__all__ = ["build_model"]

Embed: TypeAlias = Service[EmbeddingRequest, EmbeddingResponse]
Rerank: TypeAlias = Service[RerankRequest, RerankResponse]
Chat: TypeAlias = Service[ChatRequest, ChatReply]

Request = TypeVar("Request", EmbeddingRequest, RerankRequest, ChatRequest)
Reply = TypeVar("Reply")


def build_model(
    config: ModelConfig, identities: Mapping[str, str] = NO_IDENTITIES, *, shared: Shared
) -> Model:
    """
    Observe → Shorten → Prompt → [Cache →] Coalesce → Steady → Split → [Hedge →] Retry → Route →
    the upstreams.

    - Observe is outermost: it must see what every other layer refuses.
    - Shorten stands above all that may store or compare vectors, which are then of full size.
    - Prompt stands above whatever will look at texts: what counts is the text really embedded.
    - Cache stands above Coalesce: of ten texts of which nine are known, one is asked for.
    - Coalesce stands above all that may send a text twice, and asks Route how much it takes.
    - Steady stands below Coalesce: whoever joins a call must not get what was made in a space
      that was left before the call was joined. It stands above Split, whose pieces are one answer.
    - Split stands above Retry, so that a piece that failed is tried again alone, elsewhere if need
      be. It cannot know by whom: its bounds, read for each piece, are what every upstream takes,
      and what those that Route would choose now were seen to do. A guess that proves wrong is cut
      again. (Below Route each upstream would cut for itself, but then a piece fails with all.)
    - Hedge stands above Retry: the second request is tried again on its own.
    - Retry stands above Route, so that a second try may land on another upstream, and above the
      leaf, so that every try is signed afresh.
    """
    prompts = _prompts(config)
    phases = Phases(shared.metrics, config.name)
    travel = _travel(config, shared, phases)
    states = embedding_upstreams(config, identities, shared, phases)
    route = Route([state.target for state in states])
    stack: Embed = _retry(route, config, shared)
    if len(states) > 1 and shared.routing.hedge:
        stack = _hedge(stack, route, config, shared)
    stack = Split(stack, route.bounds, shared.budget)
    stack = Steady(stack, lambda: model.vector_space)
    stack = Coalesce(
        stack, route, shared.budget, query_share=shared.routing.query_share, onlooker=travel
    )
    model = Model(config, stack, tuple(states), prompts, phases)
    witness = None
    if shared.store is not None and config.cache and "embed" in config.capabilities:
        witness = _witness(model, shared.store)
        stack = _cache(stack, shared.store, witness, config, shared)
    if prompts is None and model.local is not None:
        stack = Prompt(stack, partial(_own_prompts, model, model.local))
    elif prompts is not None and prompts != PromptTexts():
        stack = Prompt(stack, partial(_same, prompts))
    stack = Shorten(stack, sizes=config.matryoshka, full=lambda: model.dimensions)
    return replace(
        model,
        service=Observe(stack, shared.metrics, model=config.name, spared=travel.spared),
        witness=witness,
        rerank=_rerank(config, shared, states, phases) if "rerank" in config.capabilities else None,
        chat=_chat(config, shared, states, phases) if "chat" in config.capabilities else None,
    )


def _travel(config: ModelConfig, shared: Shared, phases: Phases) -> Travel:
    return Travel(
        shared.metrics,
        config.name,
        queue=phases.queue,
        signed=any(item.platform == "oci" for item in config.upstreams),
        traced=None if shared.tracing is None else shared.tracing.queued,
    )


def _witness(model: Model, store: Store) -> Witness:
    reference = model.reference or _alone(model)
    precision = reference.first.precision
    least = needed(precision, precision, model.config.agreement)
    return Witness(
        reference.vectors,
        Ledger(store.notes, threshold=least),
        fingerprint=lambda: model.vector_space,
        strays=lambda: model.strays,
    )


def _alone(model: Model) -> Reference:
    """Of a model that has nothing to compare with: it runs in this process."""
    (state,) = model.upstreams
    candidate = Candidate(name=state.name, service=state.service, lasting=True)
    return Reference(model.name, [candidate])


def _cache(
    inner: Embed, store: Store, witness: Witness, config: ModelConfig, shared: Shared
) -> Cache:
    return Cache(
        inner,
        store,
        witness.space,
        shared.metrics,
        model=config.name,
        # The one engine that tells its server more of a query than the prompt.
        typed=any(item.engine == "litellm" for item in config.upstreams),
    )


def _retry(
    route: Route[Request, Reply], config: ModelConfig, shared: Shared
) -> Retry[Request, Reply]:
    routing = shared.routing
    return Retry(
        route,
        shared.budget,
        attempts=routing.attempts,
        base=routing.retry_wait,
        longest=routing.retry_longest,
        others=route.others,
        retried=shared.metrics.retries.labels(config.name).inc,
    )


def _hedge(
    stack: Embed,
    route: Route[EmbeddingRequest, EmbeddingResponse],
    config: ModelConfig,
    shared: Shared,
) -> Hedge:
    routing, hedges = shared.routing, shared.metrics.hedges
    best = route.targets[0].priority
    hedging = Hedging(
        quantile=routing.hedge_quantile,
        patience=routing.hedge_patience,
        least=routing.hedge_least,
        equals=sum(target.priority == best for target in route.targets) > 1,
    )
    return Hedge(
        stack,
        route.spare,
        shared.budget,
        hedging=hedging,
        ended=lambda outcome: hedges.labels(config.name, outcome).inc(),
    )


def _rerank(
    config: ModelConfig, shared: Shared, states: Sequence[UpstreamState], phases: Phases
) -> Rerank:
    """ObserveRerank → Divide → Retry → Route → the upstreams."""
    route = Route(rerank_targets(config, shared, states, phases))
    retry: Rerank = _retry(route, config, shared)
    engines = {item.name: item.scorer for item in config.upstreams}
    divide = Divide(retry, route.bounds, shared.budget, engines=engines)
    return ObserveRerank(divide, shared.metrics, model=config.name)


def _chat(
    config: ModelConfig, shared: Shared, states: Sequence[UpstreamState], phases: Phases
) -> Chat:
    """ObserveChat → Retry → Route → the upstreams, until the answer begins."""
    route = Route(chat_targets(config, shared, states, phases))
    retry: Chat = _retry(route, config, shared)
    return ObserveChat(retry, shared.metrics, model=config.name)


def _prompts(config: ModelConfig) -> PromptTexts | None:
    """The prompts as configured; None when a local model is to tell its own."""
    if isinstance(config.prompts, PromptConfig):
        return PromptTexts(config.prompts.query, config.prompts.document)
    local = any(item.engine == "local" for item in config.upstreams)
    return None if local else PromptTexts()


async def _own_prompts(model: Model, local: Local) -> PromptTexts:
    return model.own_prompts((await local.load()).space)


async def _same(prompts: PromptTexts) -> PromptTexts:
    return prompts
