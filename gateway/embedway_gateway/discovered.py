"""Serves what discovery finds: each model gets a stack like one of the configuration."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from embedway_gateway.config.schema import ModelConfig
from embedway_gateway.discovery import DiscoveredModel, Found
from embedway_gateway.drafts import Drafts, Measure
from embedway_gateway.lineage import Lineage
from embedway_gateway.lookout import Lookout, Place
from embedway_gateway.model import Model, Models
from embedway_gateway.warm import warm
from embedway_upstream import EmbeddingError

__all__ = ["Discovered", "Former"]

_log = logging.getLogger("embedway.discovery")


@dataclass(frozen=True, slots=True)
class Former:
    """A model that another has found, and the places of its deployments."""

    model: Model
    places: frozenset[Place]


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
        lookout: Lookout,
        *,
        build: Callable[[ModelConfig, Mapping[str, str]], Model],
        measure: Measure,
        lineage: Lineage | None = None,
        again: float = 60.0,
    ) -> None:
        self._lookout = lookout
        self._discovery = lookout.discovery
        self._models: Models | None = None
        self._inherited: list[Former] = []
        self._drafts = Drafts(lookout.logins, measure)
        self._build = build
        self._lineage = Lineage() if lineage is None else lineage
        self._again = again
        self._built: dict[DiscoveredModel, Model] = {}
        self._prepared: dict[DiscoveredModel, Model] = {}
        self._said: set[str] = set()
        self.left_out: dict[str, str] = {}
        """The models that are found but not served, and why."""
        self.unfit: dict[str, Mapping[str, str]] = {}
        """The deployments that are no replica of the model whose name they have, and why."""

    def join(self, models: Models, *, inherited: Sequence[Former] = ()) -> None:
        """
        Serve what is found beside these from now on. Of what another served, `inherited`, those
        stay that are still found at places where this one looks, until they are built here.
        """
        self._models = models
        ours = set(self._lookout.places.values())
        self._inherited = [one for one in inherited if one.places <= ours]
        self._lineage.keep(one.model for one in inherited)
        self._publish()

    def leave(self) -> None:
        """Serve nothing any more."""
        self._models = None

    async def prepare(self, static: Iterable[str]) -> None:
        """Build what is found by names that are not among these any more, for `rename`."""
        self._prepared = {}
        named = self._discovery.named(frozenset(static))
        self._prepared = await self._make(one for one in named if one not in self._discovery.models)

    def rename(self, static: Iterable[str]) -> None:
        """Leave these names to the configuration, and serve what was prepared."""
        self._discovery.rename(frozenset(static))
        self._take(self._discovery.models, {**self._built, **self._prepared})

    @property
    def models(self) -> list[Model]:
        """What is found, and answers."""
        return list(self._built.values())

    @property
    def served(self) -> list[Former]:
        """For the one after this: what is served, inherited models too."""
        places = self._lookout.places
        return [
            *self._inherited,
            *(
                Former(model, frozenset(places[one.source] for one in found.replicas))
                for found, model in self._built.items()
            ),
        ]

    @property
    def lists(self) -> Mapping[Place, Sequence[Found]]:
        """For the one after this: what was found at each place last."""
        return self._lookout.lists

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
        made = await self._make(self._discovery.models)
        # The list may be another by now; what is new in it is for the next time.
        found = self._discovery.models
        self._take(found, {**self._built, **made})
        return all(one in self._built for one in found)

    async def _make(self, found: Iterable[DiscoveredModel]) -> dict[DiscoveredModel, Model]:
        """Those that can be served."""
        # Before any is let go: it may come back.
        self._lineage.keep(self._built.values())
        found = list(found)
        made = await asyncio.gather(*(self._made(one) for one in found))
        pairs = zip(found, made, strict=True)
        return {one: model for one, model in pairs if model is not None}

    def _take(
        self, found: Sequence[DiscoveredModel], made: Mapping[DiscoveredModel, Model]
    ) -> None:
        """Serve what was made of what is found, and the rest as it was."""
        former = {one.name: one for one in self._built}
        built: dict[DiscoveredModel, Model] = {}
        for one in found:
            if one in made:
                # One that did not change keeps its stack, and what that has learnt.
                built[one] = made[one]
            elif (before := former.get(one.name)) is not None:
                built[before] = self._built[before]
        self._built, self._prepared = built, {}
        names = {one.name for one in found}
        self.left_out = {name: why for name, why in self.left_out.items() if name in names}
        self.unfit = {name: why for name, why in self.unfit.items() if name in names}
        self._publish()

    def _publish(self) -> None:
        built = {model.name for model in self._built.values()}
        wanted = {one.name for one in self._discovery.models} - built
        self._inherited = [one for one in self._inherited if one.model.name in wanted]
        if self._models is not None:
            inherited = [one.model for one in self._inherited]
            self._models.discover([*inherited, *self._built.values()])

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
        self.unfit[found.name] = draft.unfit
        for upstream, why in draft.unfit.items():
            self._say(f"{upstream!r} is found, but not served as {found.name}: {why}")
        _log.info("%s is served: %d upstream(s)", found.name, len(model.upstreams))
        return model

    def _leave_out(self, name: str, error: EmbeddingError | ValueError) -> None:
        message = error.message if isinstance(error, EmbeddingError) else str(error)
        if any(one.name == name for one in self._built):
            sentence = f"{name} changed, but is served as it was: {message}"
        else:
            self.left_out[name] = message
            sentence = f"{name} is found, but not served: {message}"
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        """Once, not at every attempt."""
        if sentence not in self._said:
            self._said.add(sentence)
            _log.warning(sentence)
