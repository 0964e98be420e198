"""Finds what parts of a configuration say against each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embedway_gateway.config.credential import AICoreConfig
from embedway_gateway.config.discovery import AICoreDiscoveryConfig

if TYPE_CHECKING:
    from embedway_gateway.config.schema import Config, ModelConfig, UpstreamConfig

__all__ = ["contradictions"]


def contradictions(config: Config) -> Iterator[str]:
    """A sentence for each, which begins with its place."""
    if not config.models and not config.discovery:
        yield "models: at least one is needed, or a place for discovery to look"
    for index, item in enumerate(config.discovery):
        here = f"discovery[{index}]"
        if item.credentials not in config.credentials:
            yield _unknown(f"{here}.credentials", item.credentials, config)
        elif isinstance(item, AICoreDiscoveryConfig) and not _has_api(item, config):
            yield (
                f"{here}.api_url: is missing, and the credentials {item.credentials!r} do not say "
                "it; in a service key it is AI_API_URL"
            )
    yield from _taken_names(config)
    for index, model in enumerate(config.models):
        yield from _about_credentials(model, f"models[{index}]", config)


def _taken_names(config: Config) -> Iterator[str]:
    seen: dict[str, int] = {}
    for index, model in enumerate(config.models):
        for name in (model.name, *model.aliases):
            if name in seen:
                yield f"models[{index}]: the name {name!r} is taken by models[{seen[name]}]"
            seen.setdefault(name, index)


def _about_credentials(model: ModelConfig, here: str, config: Config) -> Iterator[str]:
    for place, upstream in enumerate(model.upstreams):
        if upstream.credentials is None:
            continue
        where = f"{here}.upstreams[{place}].credentials"
        if upstream.credentials not in config.credentials:
            yield _unknown(where, upstream.credentials, config)
        else:
            yield from _wrong_kind(upstream, where, config)


def _wrong_kind(upstream: UpstreamConfig, where: str, config: Config) -> Iterator[str]:
    kind = config.credentials[upstream.credentials or ""].type
    if upstream.engine == "litellm" and kind != "bearer":
        yield (
            f"{where}: {upstream.credentials!r} is of type {kind}; engine litellm takes type "
            "bearer, whose token is the provider's API key, or what the provider's own "
            "environment variables say"
        )


def _has_api(item: AICoreDiscoveryConfig, config: Config) -> bool:
    key = config.credentials[item.credentials]
    return bool(item.api_url or (isinstance(key, AICoreConfig) and key.login().api_url))


def _unknown(where: str, name: str, config: Config) -> str:
    known = ", ".join(config.credentials) or "none are defined"
    return f"{where}: no credentials {name!r} (known: {known})"
