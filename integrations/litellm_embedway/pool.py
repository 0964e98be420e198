"""The clients that are open, and the vector space of each model."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from embedway_client.space import Known, Space

if TYPE_CHECKING:
    from embedway_client import Client, EmbeddingResult
    from litellm_embedway.option import Place, Setup

__all__ = ["Pool"]

# The size is held apart from the fingerprint: it follows what a call asks for.
_ANY_SIZE = 0


class Pool:
    """
    One client for each setup, of which the `most` used last stay open.

    A model's vector space at a place is remembered as long as this object lives, whatever the
    setup. May be used from several threads and event loops.
    """

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._open: OrderedDict[Setup, Client] = OrderedDict()
        self._calls: Counter[Client] = Counter()
        self._evicted: set[Client] = set()
        self._spaces: dict[Place, Space] = {}
        self._sizes: dict[tuple[Place, int | None], Space] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextlib.contextmanager
    def client(self, setup: Setup) -> Iterator[Client]:
        """For one call; it is not closed while the call lasts."""
        client = self._kept(setup) or self._added(setup, setup.client())
        try:
            yield client
        finally:
            self._give_back(client)

    @contextlib.asynccontextmanager
    async def aclient(self, setup: Setup) -> AsyncIterator[Client]:
        """Like `client`; a new one reads its files in a thread."""
        client = self._kept(setup)
        if client is None:
            client = self._added(setup, await asyncio.to_thread(setup.client))
        try:
            yield client
        finally:
            self._give_back(client)

    def seen(self, setup: Setup, result: EmbeddingResult) -> EmbeddingResult:
        """The result, if it is in the space that the model has; raises `VectorSpaceChanged`."""
        if setup.states_space:
            return result  # Its client has held it against what was stated.
        place, size = setup.place, setup.dimensions
        with self._lock:
            space = self._spaces.setdefault(place, Space(Known(), accept_change=False))
            width = self._sizes.setdefault((place, size), Space(Known(), accept_change=False))
        if setup.accepts_change:
            self._expect(result.vector_space, setup.model, place)
        space.see(result.vector_space, _ANY_SIZE)
        width.see(None, result.vectors.shape[1])
        return result

    def accept(self, model: str, fingerprint: str | None) -> None:
        """Expect this space of the model, but where another is stated; None is whichever comes."""
        self._expect(fingerprint, model)
        with self._lock:
            clients = [
                client
                for setup, client in self._open.items()
                if setup.model == model and not setup.states_space
            ]
        for client in clients:
            client.accept_vector_space(fingerprint)

    def close(self) -> None:
        """Close what no call uses now, and the others when their calls end."""
        with self._lock:
            idle = self._evict(0)
        for client in idle:
            client.close()

    def _expect(self, fingerprint: str | None, model: str, place: Place | None = None) -> None:
        """At one place, or wherever the model is."""
        with self._lock:
            here = {one for one in self._spaces if one.model == model and place in {None, one}}
            spaces = [self._spaces[one] for one in here]
            sizes = [space for (one, _), space in self._sizes.items() if one in here]
        for space in spaces:
            space.accept(fingerprint)
        for space in sizes:
            space.accept(None)

    def _kept(self, setup: Setup) -> Client | None:
        with self._lock:
            client = self._open.get(setup)
            if client is not None:
                self._open.move_to_end(setup)
                self._calls[client] += 1
            return client

    def _added(self, setup: Setup, made: Client) -> Client:
        with self._lock:
            # Another thread may have been faster.
            client = self._open.setdefault(setup, made)
            self._open.move_to_end(setup)
            self._calls[client] += 1
            idle = self._evict(self._most)
        for one in idle if client is made else [*idle, made]:
            one.close()
        return client

    def _evict(self, most: int) -> list[Client]:
        """Those to close now; whoever is in a call is closed by its last call."""
        idle = []
        while len(self._open) > most:
            _, client = self._open.popitem(last=False)
            if self._calls[client]:
                self._evicted.add(client)
            else:
                del self._calls[client]
                idle.append(client)
        return idle

    def _give_back(self, client: Client) -> None:
        with self._lock:
            self._calls[client] -= 1
            ends = not self._calls[client] and client in self._evicted
            if ends:
                self._evicted.discard(client)
                del self._calls[client]
        if ends:
            client.close()
