"""Says which upstream defines a model's vector space, and puts the others to the proof."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.layers.quarantine import Quarantine
from embedway_gateway.layers.reference import Candidate, Reference
from embedway_gateway.layers.space import SameSpace
from embedway_gateway.local import Local
from embedway_gateway.metric import Metrics
from embedway_upstream import EmbeddingRequest, EmbeddingResponse, Service

__all__ = ["NO_IDENTITIES", "compare", "references_of"]

NO_IDENTITIES: Mapping[str, str] = MappingProxyType({})
"""Of a model that the configuration names."""


def references_of(config: ModelConfig) -> list[int]:
    """
    The upstreams that may define the vector space, in their order: the one that is stated, else
    the local model, else all, by priority.

    Nobody stands in for a local model, which is looked into and not only asked: while it is being
    loaded, another would otherwise become what it is to be held against.
    """
    places = range(len(config.upstreams))
    if config.reference is not None:
        return [place for place in places if config.upstreams[place].name == config.reference]
    local = [place for place in places if config.upstreams[place].engine == "local"]
    by_priority = sorted(places, key=lambda place: config.upstreams[place].priority)
    return local[:1] or by_priority


def compare(
    config: ModelConfig,
    services: Sequence[Service[EmbeddingRequest, EmbeddingResponse]],
    metrics: Metrics,
    locals_: Sequence[Local | None] = (),
    identities: Mapping[str, str] = NO_IDENTITIES,
) -> list[SameSpace | None]:
    """
    What each upstream is kept from serving by; None for one that cannot be in the wrong.

    `locals_` are those that tell how far their model agrees with itself in fp32; `identities`, by
    the upstream's name, what tells each deployment from all others (see `Candidate`).
    """
    if "embed" not in config.capabilities:
        return [None] * len(services)
    measured = [partial(_measured, local) for local in locals_ or [None] * len(services)]
    candidates = [
        _candidate(config.upstreams[place], services[place], measured[place], identities)
        for place in references_of(config)
    ]
    reference = Reference(config.name, candidates, least=config.agreement)
    return [
        None
        if reference.first.lasting and item.name == reference.first.name
        else SameSpace(
            service,
            reference,
            upstream=item.name,
            quarantine=Quarantine(metrics, model=config.name, upstream=item.name),
            precision=item.precision,
            measured=told,
        )
        for item, service, told in zip(config.upstreams, services, measured, strict=True)
    ]


def _measured(local: Local | None) -> float | None:
    return None if local is None or local.facts is None else local.facts.agreement


def _candidate(
    item: UpstreamConfig,
    service: Service[EmbeddingRequest, EmbeddingResponse],
    measured: Callable[[], float | None],
    identities: Mapping[str, str],
) -> Candidate:
    return Candidate(
        name=item.name,
        service=service,
        precision=item.precision,
        # What runs in this process is not replaced under us.
        lasting=item.engine == "local",
        measured=measured,
        identity=identities.get(item.name, ""),
    )
