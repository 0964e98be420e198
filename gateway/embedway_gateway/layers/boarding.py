"""Who is let on a call, who leaves it, and what becomes of whom it carried."""

from __future__ import annotations

from embedway_gateway.layers.culprit import SUSPICIOUS
from embedway_gateway.layers.flight import Call, Caller, Text, deliver, keys, shares
from embedway_gateway.layers.lane import Lane
from embedway_upstream import BadVector, EmbeddingResponse, RateLimited, UpstreamError

__all__ = ["fail", "give", "is_patient", "leave_behind", "line_up", "release", "wanted"]


def line_up(lane: Lane, caller: Caller) -> None:
    """Let the caller wait for its texts, the same ones as others where there are such."""
    fresh = []
    values = caller.request.inputs
    for place, key in enumerate(keys(caller.request)):
        text = lane.flying.get(key)
        if text is None:
            text = lane.flying[key] = Text(values[place], key)
            call = lane.alone.get(key)
            if call is None:
                fresh.append(text)
            else:
                text.call = call
                call.texts.append(text)
        text.join(caller, place)
    if fresh:
        lane.add(fresh)


def release(lane: Lane, caller: Caller) -> None:
    """It is served, or gone: what only it wanted is not sent, or is hung up on."""
    calls: set[Call] = set()
    for text in caller.texts:
        if text.places and text.leave(caller):
            if text.call is None:
                lane.leave(text)
            else:
                calls.add(text.call)
    for call in calls:
        if not call.wanted:
            for text in call.texts:
                lane.forget(text)
            if call.task is not None:
                call.task.cancel()


def wanted(lane: Lane, texts: list[Text]) -> list[Text]:
    """The texts that somebody waits for; nobody may join the others any more."""
    wanted = []
    for text in texts:
        if text.callers:
            wanted.append(text)
        else:
            _end(lane, text)
    return wanted


def _end(lane: Lane, text: Text) -> None:
    lane.forget(text)
    text.places, text.call = [], None


def fail(lane: Lane, texts: list[Text], error: BaseException) -> None:
    """End all who wait for one of the texts, which are those that the error counts."""
    about = [texts[row] for row in error.rows] if isinstance(error, BadVector) else []
    for caller in {caller: None for text in texts for caller in text.callers}:
        caller.fail(error, sorted(place for text in about for place in text.places_of(caller)))
    for text in texts:
        _end(lane, text)


def give(
    lane: Lane,
    response: EmbeddingResponse,
    found: list[tuple[int, Text]],
    inputs: tuple[str, ...],
) -> None:
    """To all who wait for the texts, each of which has a row of the response."""
    if any(text.places for _, text in found):
        deliver(response, found, shares(response.usage.total_tokens, inputs))
    for _, text in found:
        _end(lane, text)


def leave_behind(lane: Lane, call: Call, count: int, error: BaseException) -> None:
    """Those who joined some of the `count` texts of a caller who had no answer."""
    joined = wanted(lane, call.texts)
    if not joined:
        return
    if isinstance(error, SUSPICIOUS):
        theirs = count == 1
    else:
        theirs = isinstance(error, RateLimited | UpstreamError)
    if theirs:
        fail(lane, joined, error)
    else:
        # It was about another text, or about the first caller's time.
        lane.again(joined)


def is_patient(text: Text, deadline: float | None) -> bool:
    """Whether somebody has more time for it than the call had."""
    return deadline is not None and any(
        caller.request.deadline is None or caller.request.deadline > deadline
        for caller in text.callers
    )
