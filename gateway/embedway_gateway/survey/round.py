"""Reaches every upstream of a configuration and compares their vector spaces."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

from embedway_gateway.comparison import references_of
from embedway_gateway.config.credential import make_credentials
from embedway_gateway.config.schema import Config, ModelConfig, UpstreamConfig
from embedway_gateway.layers.agreement import agreement, difference
from embedway_gateway.precision import needed
from embedway_gateway.survey.discovery import look
from embedway_gateway.survey.examine import Examined, examine
from embedway_gateway.survey.finding import Finding
from embedway_gateway.survey.key import look_at_keys
from embedway_gateway.survey.means import Means
from embedway_gateway.survey.store import look_at_stores
from embedway_gateway.wire import make_transport
from embedway_upstream.gather import gather
from embedway_upstream.proxy import read_proxies

__all__ = ["survey"]

_AT_ONCE = 8

Watch = Callable[[int, int], None]


async def survey(
    config: Config,
    *,
    seconds: float = 30.0,
    watch: Watch | None = None,
) -> list[Finding]:
    """
    One finding an upstream, in the order of the configuration, then those of discovery, of the file
    of keys and of Redis servers.

    A call takes at most so many seconds, or the upstream's own `timeout`. `watch` is told how many
    upstreams are done, of how many.
    """
    transport = make_transport(read_proxies())
    credentials = {name: make_credentials(item) for name, item in config.credentials.items()}
    means = Means(credentials=credentials, transport=transport, seconds=seconds)
    try:
        found, failures = await look(config, transport) if config.discovery else ([], [])
        models = [*config.models, *found]
        examined = iter(await _examine_all(models, means, watch))
    finally:
        await transport.close()
    findings: list[Finding] = []
    for model in models:
        ours = [next(examined) for _ in model.upstreams]
        findings += _compared(model, ours)
    findings += failures
    findings += look_at_keys(config, models)
    return findings + await look_at_stores(config, seconds=seconds)


async def _examine_all(
    models: list[ModelConfig], means: Means, watch: Watch | None
) -> list[Examined]:
    pairs = [(item, model) for model in models for item in model.upstreams]
    # Models in this process share its memory and its cores.
    here, done = asyncio.Lock(), 0
    if watch is not None:
        watch(0, len(pairs))

    async def one(item: UpstreamConfig, model: ModelConfig) -> Examined:
        nonlocal done
        async with here if item.engine == "local" else nullcontext():
            examined = await examine(item, model, means)
        done += 1
        if watch is not None:
            watch(done, len(pairs))
        return examined

    return await gather((one(item, model) for item, model in pairs), most=_AT_ONCE)


def _compared(model: ModelConfig, ours: list[Examined]) -> list[Finding]:
    """Against the first of those that may define the space whose vectors came."""
    order = references_of(model)
    first = next((place for place in order if ours[place].vectors is not None), order[0])
    return [
        one.finding
        if index == first or one.vectors is None
        else _with_cosine(model, one, ours[first], model.upstreams[index], model.upstreams[first])
        for index, one in enumerate(ours)
    ]


def _with_cosine(
    model: ModelConfig,
    one: Examined,
    reference: Examined,
    item: UpstreamConfig,
    defining: UpstreamConfig,
) -> Finding:
    assert one.vectors is not None
    if reference.vectors is None:
        problem = f"{defining.name!r}, which defines the space, does not answer; not compared"
        return replace(one.finding, problem=one.finding.problem or problem)
    found = agreement(reference.vectors, one.vectors)
    least = needed(
        item.precision,
        defining.precision,
        model.agreement,
        measured=(one.agreement, reference.agreement),
    )
    problem = ""
    if not found.same(least):
        why = difference(found, least)
        problem = f"another vector space than that of {defining.name!r}: {why}"
    return replace(one.finding, cosine=found.worst, problem=one.finding.problem or problem)
