"""Gateways that know nothing of each other never give two spaces of found deployments one mark."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from doubles.space import Changing, candidate, guard
from doubles.time import Time
from embedway_gateway.layers.mark import Mark
from embedway_gateway.layers.reference import Reference
from embedway_gateway.layers.space import SameSpace
from embedway_upstream import EmbeddingError, EmbeddingRequest, UpstreamUnreachable

REQUEST = EmbeddingRequest("m", ("a",))


@dataclass
class Deployment:
    """One that is listed; another model in its place is told by `content`."""

    name: str
    service: Changing
    content: int = 0

    @property
    def identity(self) -> str:
        return f"{self.name} {self.content}"


@dataclass
class Gateway:
    """What follows the list of deployments."""

    time: Time
    reference: Reference | None = None
    spaces: list[tuple[SameSpace, Changing]] = field(default_factory=list)

    def look(self, listed: list[Deployment]) -> None:
        found = [candidate(one.name, one.service, identity=one.identity) for one in listed]
        if not found:
            self.spaces = []
            return
        reference = Reference("m", found, clock=self.time)
        if self.reference is not None:
            reference.inherit(self.reference)
        self.reference = reference
        guards = [guard(one.name, one.service, reference, self.time) for one in listed]
        self.spaces = list(zip(guards, (one.service for one in listed), strict=True))

    async def serve(self, served: dict[Mark, set[str]]) -> None:
        for space, service in self.spaces:
            try:
                await space.send(REQUEST)
            except EmbeddingError:
                continue
            assert self.reference is not None
            served.setdefault(self.reference.mark, set()).add(service.salt)


EVENT = st.tuples(
    st.sampled_from(["place", "remove", "exchange", "down", "up", "look", "serve", "start"]),
    st.integers(0, 3),
    st.sampled_from(["", "other ", "third "]),
)


@settings(deadline=None)
@given(st.lists(EVENT, max_size=40))
def test_whatever_comes_and_goes_a_mark_is_of_one_space(events: list[tuple[str, int, str]]) -> None:
    asyncio.run(_simulate(events))


async def _simulate(events: list[tuple[str, int, str]]) -> None:
    time = Time()
    listed = [Deployment("first", Changing())]
    gateways = [Gateway(time)]
    served: dict[Mark, set[str]] = {}
    for number, (kind, place, salt) in enumerate(events):
        time.now += 61
        gateway = gateways[place % len(gateways)]
        if kind == "place":
            listed.append(Deployment(f"placed {number}", Changing(salt=salt)))
        elif kind == "look":
            gateway.look(listed)
        elif kind == "serve":
            await gateway.serve(served)
        elif kind == "start":
            gateways.append(Gateway(time))
            gateways[-1].look(listed)
            await gateways[-1].serve(served)
        elif listed:
            _happen(kind, listed, place % len(listed), salt)
    for gateway in gateways:
        gateway.look(listed)
        await gateway.serve(served)
    assert all(len(salts) == 1 for salts in served.values())


def _happen(kind: str, listed: list[Deployment], place: int, salt: str) -> None:
    one = listed[place]
    if kind == "remove":
        del listed[place]
    elif kind == "exchange":
        # Its engine is another one, too, for those who still call the old one.
        listed[place] = Deployment(one.name, Changing(salt=salt), one.content + 1)
    else:
        one.service.fail(*[UpstreamUnreachable("x")] * (1000 if kind == "down" else 0))
