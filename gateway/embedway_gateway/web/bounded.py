"""Bounds what a client may cost on the wire: connections, bytes of a head, and time for each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from embedway_gateway.config.schema import ServerConfig
from embedway_gateway.web import refusal
from embedway_gateway.web.crowd import Crowd
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.part import Part, Refused
from embedway_gateway.web.protocol import Protocol
from embedway_gateway.web.taking import Taking

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

__all__ = ["Bounded", "bounded"]

# More than any proxy adds; each costs a call of Python's.
_MOST_HEADERS = 128
# Asked for at once on one connection; a piece of 256 KiB can hold 14,000, of some kB each here.
_MOST_AT_ONCE = 128
# Of a body nobody waits for any more, until the connection goes with it.
_REST = 5.0
# For a client to read why it is refused: closed at once, what it still sends would reset it.
_LINGER = 1.0


class Bounded(Protocol):
    """
    One connection. A head must be whole in time and in size, an answer must be taken, and trailers
    are never taken for headers. What a body may cost is up to the route: `read_json_body`.

    Of the busy path nothing is timed: a head that comes in one piece starts no clock.
    """

    bounds: ClassVar[ServerConfig]
    crowd: ClassVar[Crowd[Bounded]]

    _part = Part.NONE
    _deaf = False
    _head = 0
    """Bytes of a head that came before the piece that is being read."""
    _piece = 0
    """Bytes of that piece."""
    _dry = 0
    """Bytes after a head that held nothing of its body: chunks' sizes and trailers."""
    _open = 0
    """Requests that are not answered yet."""
    _again = b""
    """A head that is to be read once more."""
    _last_words: HTTPError | None = None
    _timer: asyncio.TimerHandle | None = None
    _taking: Taking
    _running: RequestResponseCycle | None = None
    """The request that is worked on; uvicorn knows only the one that was read last."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, in somebody's place if need be, or refuse it."""
        super().connection_made(transport)
        seconds = self.bounds.send_timeout
        self._taking = Taking(self.transport, self.loop, seconds, taken=self._taken)
        if len(self.connections) > self.bounds.max_connections:
            idle = self.crowd.longest_idle()
            if idle is None:
                self._refuse(refusal.full())
                self.crowd.refuse(self.bounds.max_connections)
                return
            idle.leave()
        self.crowd.rest(self)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self.crowd.wake(self)
        self.crowd.leaving.discard(self)
        self._stop_timer()
        self._taking.stop()
        running, self._running = self._running, None
        if running is not None and not running.response_complete:
            # The caller is gone from it as much as from those that it asked for after.
            running.disconnected = True
            running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def leave(self) -> None:
        """Close it now; it waits for a request."""
        self.connections.discard(self)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read a piece, of one request or of several."""
        if self._deaf:
            return
        self.crowd.wake(self)
        self._unset_keepalive_if_required()
        self._piece = len(data)
        self._dry += self._piece
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(refusal.not_http())
        if self._deaf:
            return
        if self._part is Part.HEAD:
            self._head += self._piece
            if self._head > self.bounds.max_header_bytes:
                self._refuse(refusal.too_large())
                return
        elif self._part is Part.BODY:
            if self._dry > self.bounds.max_header_bytes:
                self._refuse(refusal.too_large())
            return
        if self._timer is None and (self._part is Part.HEAD or not self._open):
            self._await_head()

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._again + data[upgrade.args[0] :]
                self._again = b""
                self._new_parser()
            else:
                return

    def _new_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def _leave_unheard(self, version: str) -> None:
        """
        Begin the request again without its wish for another protocol, which RFC 9110 §7.8 allows.
        The parser would take its body for that protocol; Java's client asks for h2c every time.
        """
        line = b"%s %s HTTP/%s\r\n" % (self.parser.get_method(), self.url, version.encode())
        kept = [b"%s: %s\r\n" % pair for pair in self.headers if pair[0] != b"upgrade"]
        self._again = line + b"".join(kept) + b"\r\n"

    def on_message_begin(self) -> None:
        if not self.flow.write_paused:
            # Its answer will add to what is left, which would look as if none were taken.
            self._taking.stop()
        self._part = Part.HEAD
        # What of this piece is its own is not known; the piece may end another request's body.
        self._head = -self._piece
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        most = self.bounds.max_header_bytes
        if len(self.headers) > _MOST_HEADERS or (
            max(self._piece, self._head + self._piece) > most
            and len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > most
        ):
            self._refuse(refusal.too_large())
            raise Refused
        version = self.parser.get_http_version()
        if self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT":
            self._leave_unheard(version)
            return
        if version not in {"1.1", "1.0"}:
            self._refuse(refusal.not_http())
            raise Refused
        if self._open >= _MOST_AT_ONCE:
            self._refuse(refusal.too_many())
            raise Refused
        self._stop_timer()
        self._head = self._dry = 0
        super().on_headers_complete()
        self.headers = []  # of the request no more: what comes now are trailers, for nobody
        self._part = Part.BODY
        self._open += 1

    def on_body(self, body: bytes) -> None:
        self._dry = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._again:
            return
        self._part = Part.NONE
        self._stop_timer()
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        self._open -= 1
        self._running = None
        super().on_response_complete()
        if self.transport.is_closing():
            self._taking.require()
        elif self._open:
            return
        elif self._last_words is not None:
            self._say(self._last_words)
        elif self._part is Part.BODY:
            self._stop_timer()
            self._timer = self.loop.call_later(_REST, self.transport.abort)
        elif self.transport.get_write_buffer_size():
            # Given, but not taken yet: it is not idle, and may be long in reading.
            self._unset_keepalive_if_required()
            self._taking.require()
        elif self._part is Part.NONE:
            self.crowd.rest(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking.require()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._open and not self.transport.is_closing():
            self._taking.stop()
        # Otherwise until all is taken: nothing will be written that would pause it again.

    def _taken(self) -> None:
        """Wait for the next request of a client that took its time to read the last answer."""
        if self._part is Part.NONE and not self._open and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
            self.crowd.rest(self)

    def _await_head(self) -> None:
        self._timer = self.loop.call_later(self.bounds.header_timeout, self._late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self._open:
            # It may be that the rest is here, and not read until there is an answer.
            self._await_head()
        elif self._part is Part.HEAD:
            self._refuse(refusal.too_slow(self.bounds.header_timeout))
        else:
            self.transport.abort()

    def _refuse(self, error: HTTPError) -> None:
        """Hear no more of it, and say why after all that is answered still."""
        if self._deaf:
            return
        self._deaf = True
        self._stop_timer()
        self._unset_keepalive_if_required()
        self.crowd.wake(self)
        if self._part is Part.BODY and not self._give_up_body():
            return
        if self._open:
            self._last_words = error
        else:
            self._say(error)

    def _give_up_body(self) -> bool:
        """Whether a request whose body broke off can still be answered."""
        cycle = self.cycle
        if cycle.response_complete or cycle.response_started:
            self.transport.abort()
            return False
        self._open -= 1
        if self.pipeline and self.pipeline[0][0] is cycle:
            self.pipeline.popleft()
        else:
            cycle.disconnected = True
            cycle.message_event.set()
        return True

    def _say(self, error: HTTPError) -> None:
        self.connections.discard(self)
        if not self.crowd.may_linger():
            self.transport.abort()
            return
        self.crowd.leaving.add(self)
        self.transport.write(refusal.written(error))
        self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.abort)

    def eof_received(self) -> None:
        """A client that has heard the refusal is let go at once."""
        if self._deaf and not self._open:
            self.transport.abort()


def bounded(bounds: ServerConfig) -> type[Bounded]:
    """The connections of one process, for uvicorn to make."""
    return type("_Bounded", (Bounded,), {"bounds": bounds, "crowd": Crowd[Bounded]()})
