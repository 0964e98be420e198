"""Serves what a configuration describes, and exchanges it for what the next one does."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from embedway_gateway.assemble import Assembly, put_together
from embedway_gateway.config.schema import Config
from embedway_gateway.discovered import Discovered, Former
from embedway_gateway.health import Health
from embedway_gateway.lookout import stated_names
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model, Models
from embedway_gateway.runtime import Ranker, Runtime
from embedway_gateway.runtimes import Makers
from embedway_gateway.warm import warm
from embedway_upstream.flow import StreamTransport

if TYPE_CHECKING:
    from embedway_gateway.tracing.tracing import Tracing

__all__ = ["Fleet"]

_log = logging.getLogger("embedway.gateway")

# How long the old models go on while the new ones get ready: to load one takes seconds, and to
# download it minutes, for which nobody waits who wants the rest of the change.
_READY_SECONDS = 60.0
_GLANCE = 0.1


class _Closable(Protocol):
    async def close(self) -> None: ...


class Fleet:
    """
    The models of one process, behind `models`, which stays the same object; and the tasks that
    keep them ready, between `start` and `close`.
    """

    def __init__(
        self,
        config: Config,
        transport: StreamTransport,
        metrics: Metrics,
        *,
        makers: Makers | None = None,
        tracing: Tracing | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._transport = transport
        self._put_together = partial(put_together, makers=makers, tracing=tracing)
        self._metrics = metrics
        self._clock = clock
        self._sleep = sleep
        self._now = self._put_together(config, transport, metrics)
        self._warming: dict[str, asyncio.Task[None]] = {}
        self._finding: asyncio.Task[None] | None = None
        self._health: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._retired: list[_Closable] = []
        self.models = Models(list(self._now.models))
        if self._now.discovered is not None:
            self._now.discovered.join(self.models)

    @property
    def config(self) -> Config:
        """What is served now."""
        return self._now.config

    def start(self) -> None:
        """Begin to get the models ready; nothing is waited for."""
        self._warming = _warmed(self._now.models)
        self._find(self._now.discovered)
        health = Health(
            self.models,
            self._transport,
            every=lambda: self._now.config.routing.health_interval,
            clock=self._clock,
            sleep=self._sleep,
        )
        self._health = asyncio.create_task(health.run())

    async def change(self, config: Config, *, settled: Callable[[], Awaitable[None]]) -> None:
        """
        Serve another configuration, at once when its models are ready, in a minute at the latest.
        What it does not change goes on as it is. What is gone is closed after `settled`, which
        returns when every request that runs now has ended.

        Raises what `put_together` does, and then nothing has changed.
        """
        old = self._now
        new = self._put_together(config, self._transport, self._metrics, before=old)
        known = {id(model) for model in old.models}
        built = [model for model in new.models if id(model) not in known]
        warming = _warmed(built)
        try:
            await self._get_ready(built, old, new)
        except BaseException:
            await _end(warming.values())
            for runtime in _added(old, new):
                await runtime.close()
            raise
        # From here to the end without a pause: a request sees the old models or the new ones.
        self._now = new
        self.models.replace(list(new.models))
        self._take_over_found(old.discovered, new)
        gone = self._keep_warm(new, warming)
        unused: list[_Closable] = [*self._let_go(new)]
        if old.shared.store is not None and old.shared.store is not new.shared.store:
            unused.append(old.shared.store)
        going = {id(model) for model in new.models}
        left = [model for model in old.models if id(model) not in going]
        self._retire(left, gone, unused, settled=settled)
        _log.info(
            "the new configuration is served: %d model(s), %d of them new or changed",
            len(new.models),
            len(built),
        )

    async def close(self) -> None:
        """Let go of the models."""
        found = [task for task in (self._finding, self._health) if task is not None]
        await _end([*self._warming.values(), *found, *self._retiring])
        for runtime in (*self._now.shared.runtimes.all(), *self._retired):
            await runtime.close()
        for model in self.models.values():
            if model.witness is not None:
                model.witness.end()
        if self._now.shared.store is not None:
            await self._now.shared.store.close()

    async def _get_ready(self, built: list[Model], old: Assembly, new: Assembly) -> None:
        found = new.discovered
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_READY_SECONDS):
                if found is not None and found is old.discovered:
                    await found.prepare(stated_names(new.config))
                elif found is not None:
                    await found.look()
                while any(model.problems(self._clock()) for model in built):
                    await self._sleep(_GLANCE)

    def _take_over_found(self, old: Discovered | None, new: Assembly) -> None:
        if new.discovered is old:
            if old is not None:
                old.rename(stated_names(new.config))
            return
        inherited: list[Former] = []
        if old is not None:
            inherited = old.served
            old.leave()
        if self._finding is not None:
            self._finding.cancel()
        if new.discovered is None:
            self.models.discover([])
        else:
            new.discovered.join(self.models, inherited=inherited)
        self._find(new.discovered)

    def _find(self, discovered: Discovered | None) -> None:
        self._finding = None if discovered is None else asyncio.create_task(discovered.run())

    def _keep_warm(
        self, new: Assembly, warming: dict[str, asyncio.Task[None]]
    ) -> list[asyncio.Task[None]]:
        """Returns the tasks of the models that are gone."""
        going = {
            model.name: warming.get(model.name) or self._warming[model.name] for model in new.models
        }
        kept = set(going.values())
        gone = [task for task in self._warming.values() if task not in kept]
        self._warming = going
        return gone

    def _let_go(self, new: Assembly) -> list[Runtime | Ranker]:
        """Forget, and return, the local models that no model of the configuration has any more."""
        leaves = [one.leaf for item in new.models for one in item.upstreams]
        return new.shared.runtimes.keep(
            [
                *(leaf.local.runtime for leaf in leaves if leaf.local),
                *(leaf.reranker.ranker for leaf in leaves if leaf.reranker),
            ]
        )

    def _retire(
        self,
        models: list[Model],
        tasks: list[asyncio.Task[None]],
        unused: list[_Closable],
        *,
        settled: Callable[[], Awaitable[None]],
    ) -> None:
        async def retire() -> None:
            await _end(tasks)
            await settled()
            for model in models:
                if model.witness is not None:
                    model.witness.end()
            for one in unused:
                self._retired.remove(one)
                await one.close()

        self._retired += unused
        task = asyncio.create_task(retire())
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


def _added(old: Assembly, new: Assembly) -> list[Runtime | Ranker]:
    before = {id(one) for one in old.shared.runtimes.all()}
    return [one for one in new.shared.runtimes.all() if id(one) not in before]


def _warmed(models: Iterable[Model]) -> dict[str, asyncio.Task[None]]:
    return {model.name: asyncio.create_task(warm(model)) for model in models}


async def _end(tasks: Iterable[asyncio.Task[None]]) -> None:
    tasks = list(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
