"""Serves what discovery finds: each model gets a stack like one of the configuration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from embedway_gateway.config.discovery import AICoreDiscoveryConfig, DiscoveryConfig
from embedway_gateway.config.schema import Config, ModelConfig
from embedway_gateway.discovery import (
    AICoreSource,
    DiscoveredModel,
    Discovery,
    OCISource,
    Source,
    Watched,
    control_plane,
)
from embedway_gateway.drafts import Drafts, Measure
from embedway_gateway.lineage import Lineage
from embedway_gateway.model import Model, Models
from embedway_gateway.warm import warm
from embedway_upstream import Credentials, EmbeddingError, Transport

__all__ = ["Discovered", "make_discovery", "stated_names"]

_log = logging.getLogger("embedway.discovery")


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
    return Discovery(watched, static=stated_names(config)), logins


def stated_names(config: Config) -> set[str]:
    """What the configuration names itself."""
    return {name for model in config.models for name in (model.name, *model.aliases)}


def _sources(
    item: DiscoveryConfig, name: str, credentials: Mapping[str, Credentials], transport: Transport
) -> list[Source]:
    login = credentials[item.credentials]
    if isinstance(item, AICoreDiscoveryConfig):
        from embedway_upstream.platforms.aicore_login import address_of, group_of

        return [
            AICoreSource(
                api_url=item.api_url or address_of(login),
                resource_group=item.resource_group or group_of(login),
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
    which no platform states. A model that does not answer is left out, or goes on as it was before
    it changed; that is said once, and it is asked again with the next change, or after `again`
    seconds. Before `join` nobody is served. `lineage` knows what was found by the one before this.
    """

    def __init__(
        self,
        discovery: Discovery,
        *,
        logins: Mapping[str, str],
        build: Callable[[ModelConfig, Mapping[str, str]], Model],
        measure: Measure,
        lineage: Lineage | None = None,
        again: float = 60.0,
    ) -> None:
        self._discovery = discovery
        self._models: Models | None = None
        self._inherited: list[Model] = []
        self._drafts = Drafts(logins, measure)
        self._build = build
        self._lineage = Lineage() if lineage is None else lineage
        self._again = again
        self._built: dict[DiscoveredModel, Model] = {}
        self._said: set[str] = set()
        self.left_out: dict[str, str] = {}
        """The models that are found but not served, and why."""

    def join(self, models: Models, *, inherited: Sequence[Model] = ()) -> None:
        """
        Serve what is found beside these from now on, and what another had found, `inherited`,
        until all places were listed.
        """
        self._models = models
        self._inherited = list(inherited)
        self._lineage.keep(inherited)
        self._publish()

    def leave(self) -> None:
        """Serve nothing any more."""
        self._models = None

    def rename(self, static: Iterable[str]) -> None:
        """Leave these names to the configuration."""
        self._discovery.rename(frozenset(static))

    @property
    def models(self) -> list[Model]:
        """What is found, and answers."""
        return list(self._built.values())

    @property
    def lineage(self) -> Lineage:
        """What the names of found models have meant so far."""
        self._lineage.keep(self._built.values())
        return self._lineage

    @property
    def failures(self) -> dict[str, str]:
        """The places whose last listing failed, and why."""
        status = self._discovery.status
        return {name: one.problem for name, one in status.items() if one.problem}

    async def run(self) -> None:
        """Until cancelled."""
        changed = asyncio.Event()
        end = self._discovery.subscribe(lambda _models: changed.set())
        listing = asyncio.create_task(self._discovery.run())
        warming: dict[DiscoveredModel, asyncio.Task[None]] = {}
        try:
            while True:
                whole = await self.update()
                warming = self._keep_warm(warming)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(None if whole else self._again):
                        await changed.wait()
                changed.clear()
        finally:
            end()
            for task in (listing, *warming.values()):
                task.cancel()
            await asyncio.gather(listing, *warming.values(), return_exceptions=True)

    def _keep_warm(
        self, warming: dict[DiscoveredModel, asyncio.Task[None]]
    ) -> dict[DiscoveredModel, asyncio.Task[None]]:
        """A task for each model that is served now, and for no other."""
        for found, task in warming.items():
            if found not in self._built:
                task.cancel()
        return {
            found: warming.get(found) or asyncio.create_task(warm(model))
            for found, model in self._built.items()
        }

    async def look(self) -> None:
        """List every place once, and take over what is found."""
        await self._discovery.refresh()
        await self.update()

    async def update(self) -> bool:
        """Take over what was found last; false when there is a model that could not be."""
        found = list(self._discovery.models)
        # Before any is let go: it may come back.
        self._lineage.keep(self._built.values())
        made = await asyncio.gather(*(self._made(one) for one in found))
        former = {one.name: one for one in self._built}
        built: dict[DiscoveredModel, Model] = {}
        for one, model in zip(found, made, strict=True):
            if model is not None:
                # One that did not change keeps its stack, and what that has learnt.
                built[one] = model
            elif (before := former.get(one.name)) is not None:
                built[before] = self._built[before]
        self._built = built
        names = {one.name for one in found}
        self.left_out = {name: why for name, why in self.left_out.items() if name in names}
        self._publish()
        return None not in made

    def _publish(self) -> None:
        status = self._discovery.status.values()
        if all(one.listed_at is not None and not one.problem for one in status):
            self._inherited = [one for one in self._inherited if one.name in self.left_out]
        if self._models is not None:
            self._models.discover([*self._inherited, *self._built.values()])

    async def _made(self, found: DiscoveredModel) -> Model | None:
        if found in self._built:
            return self._built[found]
        try:
            draft = await self._drafts.draft(found)
            model = self._build(draft.config, draft.identities)
        except (EmbeddingError, ValueError) as error:
            self._leave_out(found.name, error)
            return None
        self._lineage.hand_on(model)
        self.left_out.pop(found.name, None)
        _log.info("%s is served: %d upstream(s)", found.name, len(model.upstreams))
        return model

    def _leave_out(self, name: str, error: EmbeddingError | ValueError) -> None:
        message = error.message if isinstance(error, EmbeddingError) else str(error)
        if any(one.name == name for one in self._built):
            sentence = f"{name} changed, but is served as it was: {message}"
        else:
            self.left_out[name] = message
            sentence = f"{name} is found, but not served: {message}"
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning(sentence)
