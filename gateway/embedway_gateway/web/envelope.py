"""What every request gets, whichever route it meets: an id, an answer, and one line in the log."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedway_gateway.log import report
from embedway_gateway.web.body import header
from embedway_gateway.web.error import HTTPError, Reply, error_reply, from_embedding_error
from embedway_gateway.web.whole import WHOLE, send_whole
from embedway_upstream import EmbeddingError

__all__ = ["Envelope"]

_log = logging.getLogger("embedway.request")
_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")


class Envelope:
    """
    Outermost. Errors that pass through it are answered in OpenAI's form, or in that of the path
    in `forms`; the last resort for those that nobody foresaw is a 500 that says nothing but its
    id.

    The end has two steps. While `leaving`, /readyz says so and every answer closes its connection;
    once `draining`, new requests get 503. `idle` is set whenever none is being answered.
    """

    def __init__(
        self, app: ASGIApp, *, forms: Mapping[str, Callable[[HTTPError], Reply]] | None = None
    ) -> None:
        self._app = app
        self._forms = forms or {}
        # Of a request's id nothing depends on that it cannot be guessed, and the system's own
        # source of chance is a system call.
        self.number = partial(Random().getrandbits, 128)  # noqa: S311
        self._running: set[_Exchange] = set()
        self._ended = asyncio.Event()
        self.leaving = False
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._forms.get(scope["path"], error_reply), self)
        self._running.add(exchange)
        self.idle.clear()
        try:
            await exchange.answer(self._app, receive)
        finally:
            self._running.discard(exchange)
            self._ended.set()
            if not self._running:
                self.idle.set()

    async def settled(self) -> None:
        """Until every request that runs now has ended."""
        begun = set(self._running)
        while begun:
            self._ended.clear()
            await self._ended.wait()
            begun &= self._running

    def refuses(self, path: str) -> bool:
        """Whether a request there has come too late."""
        return (self.draining and path != "/healthz") or (self.leaving and path == "/readyz")


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, scope: Scope, send: Send, form: Callable[[HTTPError], Reply], envelope: Envelope
    ) -> None:
        self._envelope = envelope
        self._scope = scope
        self._send = send
        self._form = form
        self._started = time.perf_counter()
        self._status = 0
        self._detail = ""
        self._upstream: str | None = None
        stated = header(scope, b"x-request-id")
        valid = stated is not None and _ID.fullmatch(stated)
        self._id = stated if stated and valid else b"%032x" % envelope.number()
        scope["embedway.request"] = self._id.decode()

    async def answer(self, app: ASGIApp, receive: Receive) -> None:
        try:
            if self._envelope.refuses(self._scope["path"]):
                await self._refuse(_shutting_down())
                return
            await app(self._scope, receive, self.send)
        except HTTPError as error:
            await self._refuse(error)
        except asyncio.CancelledError:
            # The grace period is over.
            await self._refuse(_shutting_down())
            raise
        except EmbeddingError as error:
            self._upstream = error.upstream
            self._detail = f"{type(error).__name__}: {error.message} {error.detail}".strip()
            await self._refuse(from_embedding_error(error))
        except Exception:  # noqa: BLE001
            # The last resort. The trace goes to the log, which holds no inputs: exceptions of
            # ours never carry them.
            _log.exception("unexpected error, request %s", self._id.decode())
            await self._refuse(
                HTTPError(
                    500,
                    f"Internal error; the log has it under request id {self._id.decode()}.",
                    kind="server_error",
                    code="internal_error",
                    retry=False,
                )
            )
        finally:
            self._report()

    async def send(self, message: Message) -> None:
        """Pass on, with the request's id in the headers."""
        if message["type"] == WHOLE:
            self._status = message["status"]
            more = self._headers()
            await send_whole(self._scope, self._send, message, more, last=self._is_last())
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers()]
            if self._is_last():
                message["headers"].append((b"connection", b"close"))
        await self._send(message)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        """What every answer gets."""
        return [*self._scope.get("embedway.headers", ()), (b"x-request-id", self._id)]

    def _is_last(self) -> bool:
        """Whether the caller's next request is to go elsewhere, so that none meets the end."""
        return self._envelope.leaving or self._envelope.draining

    async def _refuse(self, error: HTTPError) -> None:
        if self._status:
            # The answer had begun; nothing can be added to it.
            return
        status, headers, body = self._form(error)
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _report(self) -> None:
        facts: dict[str, object] = {
            "request_id": self._scope["embedway.request"],
            "method": self._scope["method"],
            "path": self._scope["path"][:200],
            "status": self._status,
            "ms": round((time.perf_counter() - self._started) * 1000, 2),
            **self._scope.get("embedway.facts", {}),
        }
        if (caller := self._scope.get("embedway.caller")) is not None:
            facts["key"] = caller
        if self._upstream is not None:
            facts["upstream"] = self._upstream
        if self._detail:
            facts["error"] = self._detail
        if (trace := self._scope.get("embedway.trace")) is not None:
            facts["trace_id"] = trace
        report(facts)


def _shutting_down() -> HTTPError:
    return HTTPError(
        503,
        "The gateway is shutting down; send the request again.",
        kind="server_error",
        code="shutting_down",
        retry=True,
        retry_after=1.0,
    )
