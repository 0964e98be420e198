"""One request of a caller who is known: the only way to a body, a model and the limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from starlette.types import Receive, Scope

from embedway_gateway.access.caller import Caller
from embedway_gateway.model import Model
from embedway_gateway.web.body import read_json_body
from embedway_gateway.web.charge import Charge
from embedway_gateway.web.patience import received_within

if TYPE_CHECKING:
    from embedway_gateway.web.intake import Intake

__all__ = ["Visit"]

Body = TypeVar("Body")


@dataclass(slots=True)
class Visit:
    """Made by `Intake.enter`."""

    intake: Intake
    scope: Scope
    receive: Receive
    caller: Caller
    _size: int = 0
    _begun: float = 0.0
    _parsed: float = 0.0

    @property
    def tenant(self) -> str:
        """Whose cache it is; empty where all have one."""
        return self.caller.name if self.intake.isolated() else ""

    async def parsed(self, parse: Callable[[bytes], Body]) -> Body:
        """
        The request's JSON body, as `parse` reads it; raises as it and `read_json_body` do, and 408
        when it stalls.
        """
        body = await self._read()
        self._begun = time.perf_counter()
        read = parse(body)
        self._parsed = time.perf_counter()
        return read

    async def _read(self) -> bytes:
        server = self.intake.server()
        reading = read_json_body(self.scope, self.receive, server.max_body_bytes)
        body = await received_within(min(server.body_timeout, server.request_timeout), reading)
        self._size = len(body)
        return body

    def find(self, name: str) -> Model:
        """The model of that name or alias; `UnknownModel` also where it is not the caller's."""
        return self.caller.find(self.intake.models, name)

    def models(self) -> Iterator[Model]:
        """All that the caller may use."""
        return self.caller.among(self.intake.models)

    def charge(self, model: Model, *, texts: int) -> Charge:
        """What the request costs, to be entered with `async with` while it is worked on."""
        model.phases.parse.took(self._begun, self._parsed)
        # For the line in the log, whatever becomes of it.
        facts: dict[str, object] = {"model": model.name}
        if texts:
            facts["texts"] = texts
        self.scope["embedway.facts"] = facts
        # Four bytes a token: of English texts somewhat more than there are, of others fewer.
        return Charge(
            self.intake.till,
            self.scope,
            self.caller,
            model,
            texts=texts,
            tokens=max(texts, self._size // 4),
        )
