"""Puts the layers of every upstream in order: all that stands below Route."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from embedway_gateway.comparison import compare
from embedway_gateway.config.schema import Capability, ModelConfig, UpstreamConfig
from embedway_gateway.layers.barrier import Barrier
from embedway_gateway.layers.breaker import Breaker, BreakerState, Patience
from embedway_gateway.layers.concurrency import Adaptive
from embedway_gateway.layers.fallback import Fallback
from embedway_gateway.layers.learn import Learn, documents_of, texts_of
from embedway_gateway.layers.limit import Concurrency, Fixed, Limit
from embedway_gateway.layers.observe import ObserveAttempt
from embedway_gateway.layers.pace import Pace, Paced
from embedway_gateway.layers.space import SameSpace
from embedway_gateway.layers.target import Target
from embedway_gateway.layers.timeout import Timeout
from embedway_gateway.leaf import Leaf, chat_leaf, embedding_leaf, rerank_leaf
from embedway_gateway.model import UpstreamState
from embedway_gateway.phase import Phases, Waited
from embedway_gateway.shared import Shared
from embedway_gateway.standing import Standing
from embedway_gateway.traced import queue_wait, traced_wait, transport_of
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    Service,
)
from embedway_upstream.chat import ChatReply, ChatRequest

__all__ = ["chat_targets", "embedding_upstreams", "rerank_targets"]

Request = TypeVar("Request", EmbeddingRequest, RerankRequest, ChatRequest)
Reply = TypeVar("Reply", EmbeddingResponse, RerankResponse, ChatReply)

# Requests that may wait for a slot of one upstream, for each slot it has.
_WAITING = 32


def embedding_upstreams(
    config: ModelConfig, identities: Mapping[str, str], shared: Shared, phases: Phases
) -> list[UpstreamState]:
    """
    Each upstream: [Fallback →] [SameSpace →] Limit → [Paced →] ObserveAttempt → [TraceAttempt →]
    Learn → Timeout → leaf.

    - SameSpace stands above Limit: its canaries take slots like any call.
    - Limit follows what the upstream serves at once, as Learn sees it, and stands above Timeout:
      waiting for our own slot is not the upstream's failure.
    - Paced, on OCI, stands below Limit: a turn is used at once, and waiting for it takes a slot.
    - ObserveAttempt stands below whatever waits: what it tells is the upstream's.
    - TraceAttempt, too, and above what Carry tells the upstream of.
    - Learn stands right above Timeout: it measures the upstream's time, and must see timeouts.
    - The leaf checks replies: a wrong one is a failure, which Retry and Route must see.
    """
    leaves = [
        embedding_leaf(
            item,
            config,
            shared.credentials,
            transport_of(item, shared),
            runtimes=shared.runtimes,
            watch=phases.call,
        )
        for item in config.upstreams
    ]
    standings = _standings(config, shared)
    limits = [
        _adaptive(item, config, standing, task="embed")
        for item, standing in zip(config.upstreams, standings, strict=True)
    ]
    bounded = [
        _bounded(
            Learn(_timed(leaf.service, item), leaf.capacity, texts_of, concurrency=limit),
            item,
            config,
            shared,
            limit,
            # Where they wait as a rule, and are counted, is Coalesce.
            waited=traced_wait(shared),
            size=lambda request: len(request.inputs),
        )
        for leaf, item, limit in zip(leaves, config.upstreams, limits, strict=True)
    ]
    locals_ = [leaf.local for leaf in leaves]
    spaces = compare(config, bounded, shared.metrics, locals_, identities)
    states = []
    for index, (item, standing) in enumerate(zip(config.upstreams, standings, strict=True)):
        service, space = spaces[index] or bounded[index], spaces[index]
        breaker = _breaker(shared, standing, space)
        target = _target(service, item, config, shared, limit=limits[index], breaker=breaker)
        target.capacity = leaves[index].capacity
        target.ready = _ready(leaves[index], space) or target.ready
        states.append(_state(item, leaves[index], bounded[index], target, space, standing=standing))
    return states


def rerank_targets(
    config: ModelConfig, shared: Shared, states: Sequence[UpstreamState], phases: Phases
) -> list[Target[RerankRequest, RerankResponse]]:
    """
    The same for reranking, where nothing is compared: [Fallback →] [Barrier →] Limit → …, and what
    is quarantined for its vectors ranks nothing either. An upstream has one breaker.
    """
    targets = []
    for item, state in zip(config.upstreams, states, strict=True):
        leaf, capacity = rerank_leaf(
            item,
            config,
            shared.credentials,
            transport_of(item, shared),
            local=state.leaf.reranker,
            watch=phases.call,
        )
        limit = _adaptive(item, config, state.standing, task="rerank")
        learning = Learn(_timed(leaf, item), capacity, documents_of, concurrency=limit)
        service = _bounded(
            learning,
            item,
            config,
            shared,
            limit,
            waited=queue_wait(phases, shared),
            size=lambda request: len(request.documents),
        )
        target = _beside(service, state, item, config, shared, limit=limit)
        target.capacity = capacity
        targets.append(target)
    return targets


def chat_targets(
    config: ModelConfig, shared: Shared, states: Sequence[UpstreamState], phases: Phases
) -> list[Target[ChatRequest, ChatReply]]:
    """The same for chat, with a limit that stays: an answer takes as long as it is long."""
    targets = []
    for item, state in zip(config.upstreams, states, strict=True):
        leaf = chat_leaf(item, config, shared.credentials, transport_of(item, shared))
        limit = Fixed(item.max_concurrency)
        service = _bounded(
            _timed(leaf, item), item, config, shared, limit, waited=queue_wait(phases, shared)
        )
        targets.append(_beside(service, state, item, config, shared, limit=limit))
    return targets


def _standings(config: ModelConfig, shared: Shared) -> list[Standing]:
    names = [item.name for item in config.upstreams]
    return [Standing(shared.metrics, model=config.name, upstream=name) for name in names]


def _ready(leaf: Leaf, space: SameSpace | None) -> Callable[[], bool] | None:
    """Whether it would be asked at all; None where nothing of ours may speak against it."""
    local = leaf.local
    if local is None or space is None:
        return local.present if local else space.may_serve if space else None
    return lambda: local.present() and space.may_serve()


def _state(
    item: UpstreamConfig,
    leaf: Leaf,
    service: Service[EmbeddingRequest, EmbeddingResponse],
    target: Target[EmbeddingRequest, EmbeddingResponse],
    space: SameSpace | None,
    *,
    standing: Standing,
) -> UpstreamState:
    return UpstreamState(
        name=item.name,
        engine=item.engine,
        priority=item.priority,
        service=service,
        target=target,
        leaf=leaf,
        space=space,
        standing=standing,
    )


def _beside(
    service: Service[Request, Reply],
    state: UpstreamState,
    item: UpstreamConfig,
    config: ModelConfig,
    shared: Shared,
    *,
    limit: Concurrency,
) -> Target[Request, Reply]:
    """For what an upstream is asked beside vectors."""
    space = state.space
    ready: list[Callable[[], bool]] = []
    if space is not None:
        service = barrier = Barrier(service, lambda: space.quarantined, upstream=item.name)
        ready.append(barrier.is_open)
    if state.leaf.reranker is not None:
        ready.append(state.leaf.reranker.present)
    breaker = state.target.breaker
    target = _target(service, item, config, shared, limit=limit, breaker=breaker)
    if ready:
        target.ready = lambda: all(one() for one in ready)
    return target


def _target(
    service: Service[Request, Reply],
    item: UpstreamConfig,
    config: ModelConfig,
    shared: Shared,
    *,
    limit: Concurrency,
    breaker: Breaker,
) -> Target[Request, Reply]:
    if item.priority > min(one.priority for one in config.upstreams):
        service = Fallback(service)
    return Target(
        item.name,
        service,
        priority=item.priority,
        weight=item.weight,
        pace=_pace(item, shared),
        slots=lambda: limit.limit,
        queueing=lambda: limit.queueing,
        breaker=breaker,
    )


def _breaker(shared: Shared, standing: Standing, space: SameSpace | None) -> Breaker:
    routing = shared.routing
    patience = Patience(
        failures=routing.breaker_failures,
        rest=routing.breaker_rest,
        longest=routing.breaker_longest,
    )

    def told(state: BreakerState) -> None:
        standing.breaker(state)
        # What hedges outran, or failed to rerank or to chat, is seen by nobody else.
        if state == "open" and space is not None:
            space.away()

    return Breaker(patience, told=told)


def _adaptive(
    item: UpstreamConfig, config: ModelConfig, standing: Standing, *, task: Capability
) -> Adaptive:
    """What is shown is the limit of the task that the model is mostly for."""
    if task != config.capabilities[0]:
        return Adaptive(most=item.max_concurrency)
    return Adaptive(most=item.max_concurrency, told=standing.limit)


def _pace(item: UpstreamConfig, shared: Shared) -> Pace | None:
    """The one that all upstreams of its tenancy share, whatever their model."""
    return shared.paces.get(item.credentials or "") if item.platform == "oci" else None


def _timed(leaf: Service[Request, Reply], item: UpstreamConfig) -> Service[Request, Reply]:
    return Timeout(leaf, seconds=item.timeout, upstream=item.name)


def _bounded(
    service: Service[Request, Reply],
    item: UpstreamConfig,
    config: ModelConfig,
    shared: Shared,
    limit: Concurrency,
    *,
    waited: Waited,
    size: Callable[[Request], int] | None = None,
) -> Service[Request, Reply]:
    if shared.tracing is not None:
        from embedway_gateway.tracing.attempt import TraceAttempt

        service = TraceAttempt(
            service, shared.tracing, model=config.name, upstream=item.name, engine=item.engine
        )
    service = ObserveAttempt(
        service, shared.metrics, model=config.name, upstream=item.name, size=size
    )
    pace = _pace(item, shared)
    if pace is not None:
        service = Paced(service, pace)
    waiting = item.max_concurrency * _WAITING
    return Limit(service, concurrency=limit, waiting=waiting, waited=waited)
