"""Texts on their way, and who waits for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from embedway_gateway.layers.bound import utf8_size
from embedway_upstream import (
    BadReply,
    BadVector,
    DeadlineExceeded,
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextvars import Context

    from numpy.typing import NDArray

__all__ = ["Call", "Caller", "Key", "Text", "deliver", "keys", "require_whole", "shares"]

Key: TypeAlias = str | tuple[str, str]
"""What a text is known by on its way."""


def shares(total: int, texts: Sequence[str]) -> list[int]:
    """
    A count for all texts, told apart: in proportion to their bytes, which is nearest to tokens.
    Whole numbers that add up to the total, none of them negative.
    """
    if len(texts) == 1:
        return [total]
    sizes = [utf8_size(text) for text in texts]
    whole = sum(sizes) or 1
    found, seen, given = [], 0, 0
    for size in sizes:
        seen += size
        upto = total * seen // whole
        found.append(upto - given)
        given = upto
    return found


def keys(request: EmbeddingRequest) -> tuple[Key, ...]:
    """
    What each text is known by on its way: itself, and whose it is where nobody may learn from the
    time of an answer what others embed.
    """
    tenant = request.tenant
    return tuple([(tenant, text) for text in request.inputs]) if tenant else request.inputs


def require_whole(response: EmbeddingResponse, texts: int) -> None:
    """Raise `BadReply` unless there is one vector for each text: no row may be another's."""
    if response.vectors.ndim != 2 or len(response.vectors) != texts:
        raise BadReply(
            "the upstream did not answer with one vector for each text",
            upstream=response.served_by,
            detail=f"shape {response.vectors.shape} for {texts} texts",
        )


class _Part:
    """What a caller gets out of one response: which rows, and for which of its inputs."""

    __slots__ = ("places", "rows", "tokens")

    def __init__(self) -> None:
        self.places: list[int] = []
        self.rows: list[int] = []
        self.tokens = 0


def deliver(
    response: EmbeddingResponse, found: Iterable[tuple[int, Text]], tokens: Sequence[int]
) -> None:
    """To all who wait for one of the texts, its row of the response; `tokens` are a row's."""
    parts: dict[Caller, _Part] = {}
    for row, text in found:
        for caller, place in text.places:
            part = parts.get(caller)
            if part is None:
                part = parts[caller] = _Part()
            part.places.append(place)
            part.rows.append(row)
            part.tokens += tokens[row]
    for caller, part in parts.items():
        caller.take(part, response)


def _index(numbers: list[int]) -> list[int] | slice:
    """The same numbers, as a slice where they are one: numpy copies that many times faster."""
    first, after = numbers[0], numbers[0] + len(numbers)
    return slice(first, after) if numbers == list(range(first, after)) else numbers


class Caller:
    """One request that waits for its texts, whichever calls bring them."""

    __slots__ = (
        *("_answers", "_left", "_tokens", "_vectors"),
        *("answer", "boarded", "context", "entered", "request", "texts"),
    )

    def __init__(
        self, request: EmbeddingRequest, answer: asyncio.Future[EmbeddingResponse]
    ) -> None:
        self.request = request
        self.answer = answer
        self.texts: list[Text] = []
        """Those that are its own or were joined, each once."""
        self.entered = 0.0
        self.boarded: float | None = None
        """When the first call left that took one of its texts along."""
        self.context: Context | None = None
        """Its own, where calls are traced."""
        self._vectors: NDArray[np.float32] | None = None
        self._left = len(request.inputs)
        self._tokens = 0
        self._answers: list[EmbeddingResponse] = []

    def take(self, part: _Part, response: EmbeddingResponse) -> None:
        """Rows of a response to several callers' texts."""
        if self.answer.done():
            return
        size = response.vectors.shape[1]
        if self._vectors is None:
            self._vectors = np.empty((len(self.request.inputs), size), np.float32)
        if self._vectors.shape[1] != size:
            self.fail(BadReply("the upstreams' vectors differ in size"))
            return
        self._vectors[_index(part.places)] = response.vectors[_index(part.rows)]
        self._tokens += part.tokens
        self._left -= len(part.places)
        self._answers.append(response)
        if self._left == 0:
            self.answer.set_result(self._whole(self._vectors))

    def fail(self, error: BaseException, places: Iterable[int] = ()) -> None:
        """
        End it with the error, which may end others too: each has its own. `places` are the inputs
        that it is about, where that is known.
        """
        if self.answer.done():
            return
        if isinstance(error, asyncio.CancelledError):
            self.answer.cancel()
        else:
            own = error.own() if isinstance(error, EmbeddingError) else error
            if isinstance(own, BadVector) and places:
                own.count(places)
            if own is not error:
                own.__cause__ = error
            self.answer.set_exception(own)

    def expire(self) -> None:
        """Its deadline has passed."""
        self.fail(DeadlineExceeded("the request waited for the upstreams until its deadline"))

    def _whole(self, vectors: NDArray[np.float32]) -> EmbeddingResponse:
        answers, inputs = self._answers, self.request.inputs
        one = answers[0]
        if len(answers) == 1:
            # A response to its texts and no others counts their tokens; shares of one are guessed.
            own = len(one.vectors) == len(inputs) == len(self.texts)
            guessed = one.usage.estimated or (len(one.vectors) > 1 and not own)
        else:
            guessed = any(each.usage.estimated or len(each.vectors) > 1 for each in answers)
            # One name, because it labels metrics: of a fallback, if there is one.
            one = next((each for each in answers if each.fallback), one)
        return EmbeddingResponse(
            model=self.request.model,
            vectors=vectors,
            usage=Usage(self._tokens, self._tokens, estimated=guessed),
            served_by=one.served_by,
            fallback=one.fallback,
        )


class Call:
    """
    Texts that travel together, and the task that carries them. A caller who carries his own has
    no task, and `texts` are those that others joined.
    """

    __slots__ = ("full", "task", "texts")

    def __init__(self, texts: list[Text], *, full: bool = False) -> None:
        self.texts = texts
        self.full = full
        """Whether more waited than it could take."""
        self.task: asyncio.Task[None] | None = None
        """None until it begins: a task that is cancelled before would not even clean up."""

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for any of the texts."""
        return any(text.places for text in self.texts)


class Text:
    """A text that waits or is on its way, and the inputs that it is for."""

    __slots__ = ("call", "key", "places", "value")

    def __init__(self, value: str, key: Key) -> None:
        self.value = value
        self.key = key
        self.places: list[tuple[Caller, int]] = []
        """Nobody waits for it when there are none."""
        self.call: Call | None = None
        """None while it waits."""

    def places_of(self, caller: Caller) -> list[int]:
        """The caller's inputs that it is for."""
        return [place for one, place in self.places if one is caller]

    @property
    def callers(self) -> frozenset[Caller]:
        """Who waits for it, of those that have no answer yet."""
        return frozenset(caller for caller, _ in self.places if not caller.answer.done())

    def join(self, caller: Caller, place: int) -> None:
        """Let it be for one more input."""
        if not self.places or self.places[-1][0] is not caller:
            caller.texts.append(self)
        self.places.append((caller, place))

    def leave(self, caller: Caller) -> bool:
        """Let it be for none of the caller's; whether it is for nobody now."""
        self.places = [one for one in self.places if one[0] is not caller]
        return not self.places
