"""Asks an upstream of itself; what is not answered is not told, and nothing fails for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from embedway_upstream import EmbeddingError, Endpoint, Transport, UpstreamTimeout
from embedway_upstream.engines.probe import Facts, merged
from embedway_upstream.inquiry import Question, betrayal, learned, questions

__all__ = ["Told", "ask", "recognise"]

_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Told:
    """What came of asking; `reachable` is None where there was no way to ask."""

    facts: Facts = field(default_factory=Facts)
    reachable: bool | None = None
    trouble: EmbeddingError | None = None
    """What the upstream, or the way to it, said instead."""


@dataclass(frozen=True, slots=True)
class _Answer:
    question: Question
    status: int | None = None
    """None where no answer came."""
    facts: Facts | None = None
    trouble: EmbeddingError | None = None


async def ask(endpoint: Endpoint, transport: Transport, *, seconds: float = _SECONDS) -> Told:
    """The facts that the engine's probes bring, in at most so many seconds."""
    answers = await _answers(endpoint, questions(endpoint), transport, seconds)
    if not answers:
        return Told()
    told = [answer.facts for answer in answers if answer.facts is not None]
    # A server may guard some paths and not others.
    refused = any(answer.status in {401, 403} for answer in answers)
    troubles = [answer.trouble for answer in answers if answer.trouble is not None]
    return Told(
        merged(told),
        reachable=any(answer.status is not None for answer in answers),
        trouble=troubles[0] if troubles and (refused or not told) else None,
    )


async def recognise(
    endpoint: Endpoint, transport: Transport, *, seconds: float = _SECONDS
) -> tuple[str, str | None]:
    """The engine that answers there and its version, where it can be told; else an empty name."""
    for answer in await _answers(endpoint, betrayal(endpoint), transport, seconds):
        facts = answer.facts or Facts()
        # OpenAI's list of models is not infinity's alone; what each of them can do is.
        told = facts.capabilities if answer.question.engine == "infinity" else facts != Facts()
        if told:
            return answer.question.engine, facts.version
    return "", None


async def _answers(
    endpoint: Endpoint, asked: Iterable[Question], transport: Transport, seconds: float
) -> list[_Answer]:
    async def answer(question: Question) -> _Answer:
        try:
            async with asyncio.timeout(seconds):
                reply = await transport.send(question.call)
        except TimeoutError:
            late = UpstreamTimeout(f"the upstream did not answer within {seconds:g} seconds")
            return _Answer(question, trouble=late)
        except EmbeddingError as error:
            return _Answer(question, trouble=error)
        try:
            return _Answer(question, reply.status, facts=learned(endpoint, question, reply))
        except EmbeddingError as error:
            return _Answer(question, reply.status, trouble=error)

    return await asyncio.gather(*(answer(question) for question in asked))
