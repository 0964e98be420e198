"""`POST /v1/chat/completions` and `/v1/completions`: routed, signed, and passed through."""

from __future__ import annotations

from functools import partial

from starlette.types import Receive, Scope, Send

from embedway_gateway.metric import Metrics
from embedway_gateway.web.charge import Charge
from embedway_gateway.web.chat_body import ChatBody, read_chat_body
from embedway_gateway.web.error import HTTPError, error_reply, from_embedding_error
from embedway_gateway.web.intake import Intake
from embedway_gateway.web.patience import while_connected
from embedway_gateway.web.rename import Events, Single
from embedway_upstream import EmbeddingError
from embedway_upstream.chat import ChatReply, ChatRequest, ChatTask

__all__ = ["Chat"]


class Chat:
    """
    A plain ASGI application; raises `EmbeddingError` and `HTTPError` for those above it until the
    answer has begun. After that a failure is told in the stream, as an event, and ends it.
    """

    def __init__(self, intake: Intake, metrics: Metrics, *, task: ChatTask) -> None:
        self._intake = intake
        self._metrics = metrics
        self._task: ChatTask = task

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        intake = self._intake
        visit = await intake.enter(scope, receive)
        body = await visit.parsed(partial(read_chat_body, task=self._task))
        model = visit.find(body.model)
        if model.chat is None:
            raise HTTPError(400, f"The model {model.name!r} does not chat.", param="model")
        request = ChatRequest(model.name, self._task, body.fields, body.stream, intake.deadline())
        # To the stream's end: so long it is under way.
        async with visit.charge(model, texts=0) as charge:
            reply = await while_connected(receive, model.chat.send(request))
            passage = _Passage(reply, body, model.name, self._metrics, charge)
            try:
                await while_connected(receive, passage.run(scope, send))
            finally:
                # Whatever ended it: an upstream that still generates is hung up on.
                reply.flow.close()
                passage.settle()


class _Passage:
    """One answer on its way."""

    def __init__(
        self, reply: ChatReply, body: ChatBody, model: str, metrics: Metrics, charge: Charge
    ) -> None:
        self._reply = reply
        self._model = model
        self._metrics = metrics
        self._charge = charge
        self._passing = Events(body.model) if body.stream else Single(body.model)
        self._facts: dict[str, object] = {"model": model, "upstream": reply.served_by}

    async def run(self, scope: Scope, send: Send) -> None:
        """Pass the whole of it on."""
        scope["embedway.facts"] = self._facts
        headers = [
            (b"content-type", self._passing.content_type),
            (b"x-embedway-upstream", self._reply.served_by.encode()),
        ]
        if self._reply.fallback:
            headers.append((b"x-embedway-fallback", self._reply.served_by.encode()))
        if isinstance(self._passing, Single):
            whole = b"".join([self._passing.feed(piece) async for piece in self._reply.flow])
            headers.append((b"content-length", str(len(whole)).encode()))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            last = whole
        else:
            # Proxies that gather answers would undo the stream (nginx: proxy_buffering).
            headers += [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            last = await self._stream(self._passing, send)
        # Before the end is seen, so that whoever sees it finds it counted.
        self._reply.flow.close()
        self._facts["tokens"] = self._passing.tokens
        labels = (self._model, self._reply.served_by)
        self._metrics.tokens.labels(*labels).inc(self._passing.tokens)
        await send({"type": "http.response.body", "body": last})

    def settle(self) -> None:
        """
        Charge what the answer says it cost. A stream that does not say so costs what was guessed of
        the question, and a token for each event that came.
        """
        tokens: int | None = self._passing.tokens
        if not tokens:
            events = self._passing.events
            tokens = self._charge.estimate + events if events else None
        self._charge.spent(tokens, failed="broke" in self._facts)

    async def _stream(self, passing: Events, send: Send) -> bytes:
        """All but the last bytes, which are given."""
        try:
            async for piece in self._reply.flow:
                if ready := passing.feed(piece):
                    await send({"type": "http.response.body", "body": ready, "more_body": True})
        except EmbeddingError as error:
            self._facts["broke"] = f"{type(error).__name__}: {error.message}"
            error.upstream = self._reply.served_by
            return passing.break_off() + _event(error)
        return passing.end()


def _event(error: EmbeddingError) -> bytes:
    """As an event of the stream, in the form that the openai clients raise."""
    _, _, body = error_reply(from_embedding_error(error))
    return b"data: " + body + b"\n\n"
