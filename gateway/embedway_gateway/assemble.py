"""Makes everything behind the HTTP interface from a configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from embedway_gateway.cache.store import Store
from embedway_gateway.config.cache import make_store
from embedway_gateway.config.credential import CredentialConfig, OCIConfig, make_credentials
from embedway_gateway.config.routing import RoutingConfig
from embedway_gateway.config.schema import Config
from embedway_gateway.discovered import Discovered
from embedway_gateway.layers.pace import Pace
from embedway_gateway.layers.retry import Budget
from embedway_gateway.leaf import measure
from embedway_gateway.lookout import make_lookout
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model, Models
from embedway_gateway.runtimes import Makers, Runtimes
from embedway_gateway.shared import Shared
from embedway_gateway.stack import build_model
from embedway_upstream import Credentials
from embedway_upstream.credentials.renewed import Renewed
from embedway_upstream.flow import StreamTransport

if TYPE_CHECKING:
    from embedway_gateway.tracing.tracing import Tracing

__all__ = ["Assembly", "assemble", "put_together"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What one configuration describes; `discovered` still serves nobody."""

    config: Config
    shared: Shared
    models: tuple[Model, ...]
    """Those that the configuration names."""
    discovered: Discovered | None


def assemble(
    config: Config, transport: StreamTransport, metrics: Metrics
) -> tuple[Models, Discovered | None]:
    """The models of a configuration, and what adds those that are discovered, if it is asked."""
    whole = put_together(config, transport, metrics)
    models = Models(list(whole.models))
    if whole.discovered is not None:
        whole.discovered.join(models)
    return models, whole.discovered


def put_together(
    config: Config,
    transport: StreamTransport,
    metrics: Metrics,
    *,
    before: Assembly | None = None,
    makers: Makers | None = None,
    tracing: Tracing | None = None,
) -> Assembly:
    """
    Everything that a configuration describes. What `before` has of it already is taken from there:
    a model for which nothing changed, with all that it has learnt, and every local runtime;
    `makers` makes those that are new.

    Raises `ValueError`, `EmbeddingError`, `OSError` or `ImportError`.
    """
    routing = config.routing
    credentials, paces = _logins(config, before, metrics)
    shared = Shared(
        credentials=credentials,
        transport=transport,
        metrics=metrics,
        budget=_budget(routing, before),
        paces=paces,
        routing=routing,
        runtimes=Runtimes(makers, before=None if before is None else before.shared.runtimes),
        store=_store(config, metrics, before),
        tracing=tracing,
    )
    build = partial(build_model, shared=shared)
    kept = _kept(config, before)
    models = tuple(kept.get(item.name) or build(item) for item in config.models)
    for model in models:
        for old in before.models if before else ():
            if old.name == model.name and old is not model:
                model.inherit(old)
    return Assembly(
        config=config,
        shared=shared,
        models=models,
        discovered=_discovered(config, shared, before),
    )


def _discovered(config: Config, shared: Shared, before: Assembly | None) -> Discovered | None:
    if not config.discovery:
        return None
    old = None if before is None else before.discovered
    if before is not None and old is not None:
        used = {item.credentials for item in config.discovery}
        same = before.config.discovery == config.discovery
        if same and _alike(before.config, config, used):
            return old
    lookout = make_lookout(
        config,
        shared.credentials,
        shared.transport,
        before={} if old is None else old.lists,
    )
    return Discovered(
        lookout,
        build=partial(build_model, shared=shared),
        measure=partial(measure, credentials=shared.credentials, transport=shared.transport),
        lineage=None if old is None else old.lineage,
    )


def _kept(config: Config, before: Assembly | None) -> dict[str, Model]:
    """The models for which nothing changed."""
    if before is None:
        return {}
    old = {model.name: model for model in before.models}
    kept = {}
    for item in config.models:
        used = {one.credentials for one in item.upstreams if one.credentials is not None}
        model = old.get(item.name)
        if model is not None and model.config == item and _alike(before.config, config, used):
            kept[item.name] = model
    return kept


def _alike(old: Config, new: Config, credentials: Iterable[str]) -> bool:
    """Whether what all models depend on is the same, and these credentials are."""
    own = {"server", "credentials", "models", "discovery", "limits", "usage", "tracing"}
    common = [name for name in Config.model_fields if name not in own]
    return all(getattr(old, name) == getattr(new, name) for name in common) and all(
        old.credentials.get(name) == new.credentials.get(name) for name in credentials
    )


def _logins(
    config: Config, before: Assembly | None, metrics: Metrics
) -> tuple[dict[str, Credentials], dict[str, Pace]]:
    """Those that did not change keep their tokens, and the pace that they share."""
    credentials: dict[str, Credentials] = {}
    paces = _paces(config.credentials)
    for name, item in config.credentials.items():
        if before is not None and before.config.credentials.get(name) == item:
            credentials[name] = before.shared.credentials[name]
            if name in before.shared.paces:
                paces[name] = before.shared.paces[name]
        else:
            credentials[name] = made = make_credentials(item)
            if isinstance(made, Renewed):
                made.told = partial(_renewed, metrics, name)
    return credentials, paces


def _renewed(metrics: Metrics, name: str, had: bool) -> None:
    metrics.renewals.labels(name, "ok" if had else "failed").inc()
    if had:
        metrics.renewed.labels(name).set_to_current_time()


def _store(config: Config, metrics: Metrics, before: Assembly | None) -> Store | None:
    if config.cache is None:
        return None
    if before is not None and before.config.cache == config.cache:
        return before.shared.store
    return make_store(config.cache, metrics)


def _budget(routing: RoutingConfig, before: Assembly | None) -> Budget:
    if before is not None and before.config.routing == routing:
        return before.shared.budget
    return Budget(share=routing.retry_share, floor=routing.retry_floor)


def _paces(credentials: Mapping[str, CredentialConfig]) -> dict[str, Pace]:
    """One for each name of credentials: those of one tenancy have one name."""
    return {
        name: Pace(name, rate=item.requests_per_second)
        for name, item in credentials.items()
        if isinstance(item, OCIConfig)
    }
