"""One reply, read from the bytes of a connection."""

from __future__ import annotations

import asyncio

import httptools

from embedway_gateway.wire.broken import Broken
from embedway_upstream import BadReply

__all__ = ["Reply"]

# Of a reply that is read piece by piece: beyond it the upstream has to wait for the reader.
_HIGH = 256 * 1024
# Of all that is not content: interim replies, headers, trailers, and the marks of chunks, which
# take 5 bytes for one byte of content.
_MOST_AROUND = 64 * 1024
_MARKS = 8
_ONCE = frozenset({"content-length", "transfer-encoding"})


class Reply:
    """
    `head` waits for status and headers, of which names are in lower case, and of equal ones the
    last counts. Then either `content` gives all, at most as many bytes as `most`; or, where that is
    None, iterating gives pieces as they come, and the sender waits for the reader.

    They raise `BadReply` for what is not HTTP/1.1 or over a bound, and `Broken`. One task reads.
    """

    __slots__ = (
        "_around",
        "_begun",
        "_chunks",
        "_failure",
        "_fed",
        "_held",
        "_lasting",
        "_method",
        "_most",
        "_parser",
        "_paused",
        "_size",
        "_transport",
        "_waiter",
        "done",
        "headers",
        "status",
    )

    def __init__(self, transport: asyncio.Transport, method: str, *, most: int | None) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.done = False
        """Whether all of it came."""
        self._transport = transport
        self._method = method
        self._most = most
        self._begun = self._lasting = self._paused = False
        self._chunks: list[bytes] = []
        self._around = self._fed = self._held = self._size = 0
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    # -- what its reader asks for

    async def head(self) -> None:
        """Return when `status` and `headers` are here."""
        while not self._begun:
            await self._more()

    async def content(self) -> bytes:
        """All of it."""
        while not self.done:
            await self._more()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def __aiter__(self) -> Reply:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self.done:
                raise StopAsyncIteration
            await self._more()
        piece = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._held = 0
        if self._paused:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return piece

    # -- what its connection tells

    def feed(self, data: bytes) -> bool:
        """Whether the connection is still good: otherwise it must be closed."""
        if self.done or self._parser is None:
            # Nobody asked for it, so that the next reply could not be told apart from it.
            self._lasting = False
            return False
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(BadReply("the upstream does not answer in HTTP/1.1"))
        if not self.done and self._fed - _MARKS * self._size > _MOST_AROUND:
            self.fail(BadReply(f"the upstream's reply has over {_MOST_AROUND} bytes of headers"))
        if self.done:
            # The two hold each other.
            self._parser = None
        self._wake()
        return self._failure is None

    def end(self, cause: Exception | None) -> None:
        """The connection ended."""
        sized = "content-length" in self.headers or "transfer-encoding" in self.headers
        if cause is None and self._begun and not sized and self._failure is None:
            # HTTP/1.0's way to end a body.
            self.done = True
            self._parser = None
            self._wake()
        else:
            self.fail(Broken(cause, untouched=not self._fed))

    def fail(self, error: Exception) -> None:
        """No more will come; the first reason is told, and none once all is here."""
        if self._failure is None and not self.done:
            self._failure = error
        self._parser = None
        self._wake()

    @property
    def lasting(self) -> bool:
        """Whether all came, nothing else did, and the upstream waits for another request."""
        return self.done and self._lasting and not self._paused

    # -- what the parser tells; what is raised here ends the parsing

    def on_message_begin(self) -> None:
        if self.done:
            raise self._surplus()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._around += len(name) + len(value)
        if self._around > _MOST_AROUND:
            raise self._refusal(f"has over {_MOST_AROUND} bytes of headers")
        known = name.decode("latin-1").lower()
        if known in _ONCE and known in self.headers:
            raise self._refusal(f"has more than one {known}")
        if not self._begun:
            # Trailers are of no use, and must not change what was decided on.
            self.headers[known] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        parser = self._parser
        assert parser is not None
        status = parser.get_status_code()
        if status < 200:
            if status == 101:
                raise self._refusal("changes the protocol, which was not asked for")
            # 100 and 103 come before the reply.
            self.headers = {}
            return
        self._check()
        self.status, self._begun = status, True
        # True only where the end of the body is told too (llhttp).
        self._lasting = bool(parser.should_keep_alive())
        if self._method == "HEAD":
            # The parser does not know, and would wait for a body.
            self.done, self._lasting = True, False

    def on_body(self, data: bytes) -> None:
        if self.done:
            raise self._surplus()
        self._size += len(data)
        self._chunks.append(data)
        if self._most is None:
            self._held += len(data)
            if self._held > _HIGH and not self._paused:
                self._paused = True
                self._transport.pause_reading()
        elif self._size > self._most:
            raise self._refusal(f"is over {self._most} bytes")

    def on_message_complete(self) -> None:
        if self._begun:
            self.done = True

    # -- within

    def _check(self) -> None:
        headers = self.headers
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.strip().lower() != "chunked":
            raise self._refusal("has a transfer-encoding other than chunked")
        size = headers.get("content-length")
        if size is not None and self._most is not None and int(size) > self._most:
            raise self._refusal(f"is over {self._most} bytes")

    def _refusal(self, what: str) -> BadReply:
        self._failure = BadReply(f"the upstream's reply {what}")
        return self._failure

    def _surplus(self) -> BadReply:
        # What came before is whole, and stays.
        self._lasting = False
        return BadReply("the upstream sends more than its reply")

    async def _more(self) -> None:
        if self._failure is not None:
            raise self._failure
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
