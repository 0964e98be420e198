"""Serves what discovery finds: each model gets a stack like one of the configuration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

from embedway_gateway.config.discovery import AICoreDiscoveryConfig, DiscoveryConfig
from embedway_gateway.config.schema import Config, ModelConfig, UpstreamConfig
from embedway_gateway.discovery import (
    AICoreSource,
    DiscoveredModel,
    Discovery,
    Found,
    OCISource,
    Source,
    Watched,
    control_plane,
)
from embedway_gateway.model import Model, Models
from embedway_upstream import Credentials, EmbeddingError, Transport

__all__ = ["Discovered", "make_discovery"]

_log = logging.getLogger("embedway.discovery")

# What this version can pass on; a model that only chats is not served.
_SERVED: tuple[Literal["embed", "rerank"], ...] = ("embed", "rerank")


def make_discovery(
    config: Config, credentials: Mapping[str, Credentials], transport: Transport
) -> tuple[Discovery, dict[str, str]]:
    """The loop over all places that are named, and the credentials' name of each source."""
    watched: list[Watched] = []
    logins: dict[str, str] = {}
    for index, item in enumerate(config.discovery):
        for source in _sources(item, f"discovery[{index}]", credentials, transport):
            watched.append(Watched(source, item.refresh))
            logins[source.name] = item.credentials
    static = {name for model in config.models for name in (model.name, *model.aliases)}
    return Discovery(watched, static=static), logins


def _sources(
    item: DiscoveryConfig, name: str, credentials: Mapping[str, Credentials], transport: Transport
) -> list[Source]:
    login = credentials[item.credentials]
    if isinstance(item, AICoreDiscoveryConfig):
        return [
            AICoreSource(
                api_url=item.api_url,
                resource_group=item.resource_group,
                scenario_id=item.scenario_id,
                credentials=login,
                transport=transport,
                config_names=item.config_names,
                model_parameter=item.model_parameter,
                engine=item.engine,
                name=name,
            )
        ]
    endpoint = control_plane(item.region or "", item.service_endpoint)
    # One for each compartment, so that each has its own outage.
    return [
        OCISource(
            endpoint=endpoint,
            compartment_id=compartment,
            credentials=login,
            transport=transport,
            name=f"{name}.{place}" if len(item.compartment_id) > 1 else name,
        )
        for place, compartment in enumerate(item.compartment_id)
    ]


class Discovered:
    """
    Follows discovery: every list that it gives becomes models, beside those of the configuration.

    `build` makes the stack of a model. `measure` asks an upstream for the size of its vectors,
    which no platform states. A model that does not answer is left out, said once, and asked again
    with the next change, or after `again` seconds.
    """

    def __init__(
        self,
        discovery: Discovery,
        models: Models,
        *,
        logins: Mapping[str, str],
        build: Callable[[ModelConfig], Model],
        measure: Callable[[UpstreamConfig, str], Awaitable[int]],
        again: float = 60.0,
    ) -> None:
        self._discovery = discovery
        self._models = models
        self._logins = logins
        self._build = build
        self._measure = measure
        self._again = again
        self._built: dict[DiscoveredModel, Model] = {}
        self._said: set[str] = set()

    async def run(self) -> None:
        """Until cancelled."""
        changed = asyncio.Event()
        end = self._discovery.subscribe(lambda _models: changed.set())
        listing = asyncio.create_task(self._discovery.run())
        try:
            while True:
                whole = await self.update()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if whole else self._again):
                        await changed.wait()
                changed.clear()
        finally:
            end()
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    async def look(self) -> None:
        """List every place once, and take over what is found."""
        await self._discovery.refresh()
        await self.update()

    async def update(self) -> bool:
        """Take over what was found last; false when a model had to be left out."""
        found = [one for one in self._discovery.models if _served(one)]
        made = await asyncio.gather(*(self._made(one) for one in found))
        # A model that did not change keeps its stack, and what that has learnt.
        self._built = {
            one: model for one, model in zip(found, made, strict=True) if model is not None
        }
        self._models.discover(list(self._built.values()))
        return len(self._built) == len(found)

    async def _made(self, found: DiscoveredModel) -> Model | None:
        if found in self._built:
            return self._built[found]
        try:
            model = self._build(await self._configured(found))
        except (EmbeddingError, ValueError) as error:
            message = error.message if isinstance(error, EmbeddingError) else str(error)
            if (sentence := f"{found.name} is found, but not served: {message}") not in self._said:
                self._said.add(sentence)
                _log.warning(sentence)
            return None
        _log.info("%s is served: %d upstream(s)", found.name, len(model.upstreams))
        return model

    async def _configured(self, found: DiscoveredModel) -> ModelConfig:
        upstreams = tuple(self._upstream(one) for one in found.replicas)
        can = {name for one in found.replicas for name in one.capabilities}
        capabilities: tuple[Literal["embed", "rerank"], ...]
        capabilities = tuple(name for name in _SERVED if name in can)
        stated = {one.dimensions for one in found.replicas if one.dimensions is not None}
        dimensions = stated.pop() if len(stated) == 1 else None
        if "embed" in capabilities and dimensions is None:
            dimensions = await self._measure(upstreams[0], found.name)
        return ModelConfig(
            name=found.name,
            aliases=found.aliases,
            capabilities=capabilities,
            dimensions=dimensions,
            upstreams=upstreams,
        )

    def _upstream(self, found: Found) -> UpstreamConfig:
        return UpstreamConfig.model_validate(
            {
                "name": found.upstream,
                "engine": found.engine,
                "platform": found.platform,
                "url": found.url,
                "invoke": found.invoke or "predict",
                "path": found.path,
                "model": found.model,
                "pooling": None if found.pooling == "none" else found.pooling,
                "resource_group": found.resource_group or "default",
                "credentials": self._logins[found.source],
            }
        )


def _served(found: DiscoveredModel) -> bool:
    return any(name in one.capabilities for one in found.replicas for name in _SERVED)
