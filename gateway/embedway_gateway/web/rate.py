"""Tells a caller how its limits stand: OpenAI's headers, and the answer to one request too many."""

from __future__ import annotations

import math

from embedway_gateway.quota.meter import MINUTE, Kind, Meter, Seats, remaining
from embedway_gateway.quota.quota import Demand, Verdict
from embedway_gateway.web.error import HTTPError

__all__ = ["rate_headers", "too_many"]

# Written out, so that they can be found.
_NAMES: dict[Kind, tuple[bytes, bytes, bytes]] = {
    "requests": (
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-reset-requests",
    ),
    "texts": (
        b"x-ratelimit-limit-texts",
        b"x-ratelimit-remaining-texts",
        b"x-ratelimit-reset-texts",
    ),
    "tokens": (
        b"x-ratelimit-limit-tokens",
        b"x-ratelimit-remaining-tokens",
        b"x-ratelimit-reset-tokens",
    ),
}


def rate_headers(demand: Demand, verdict: Verdict) -> list[tuple[bytes, bytes]]:
    """Of each kind the meter that has least left, be it the caller's or the model's."""
    tightest: dict[Kind, tuple[int, Meter, float]] = {}
    for meter, reset in zip(demand.meters, verdict.resets, strict=True):
        left = remaining(meter, reset)
        if meter.kind not in tightest or left < tightest[meter.kind][0]:
            tightest[meter.kind] = left, meter, reset
    headers = []
    for kind, (left, meter, reset) in tightest.items():
        values = (str(meter.limit), str(left), _duration(reset))
        headers += [
            (name, value.encode()) for name, value in zip(_NAMES[kind], values, strict=True)
        ]
    return headers


def too_many(demand: Demand, verdict: Verdict) -> HTTPError:
    """The answer to a request that a limit refuses."""
    blocker = verdict.blocker
    assert blocker is not None
    whose = "this API key" if blocker.name.startswith("key:") else "this model"
    if isinstance(blocker, Seats):
        message = f"{whose} may have {blocker.most} requests under way at once, and has them"
        return _refusal(f"Rate limit reached: {message}.", wait=1.0)
    amount = demand.amounts[demand.meters.index(blocker)]
    about = "about " if blocker.kind == "tokens" else ""
    if amount > blocker.limit:
        message = (
            f"Request too large: it has {about}{amount} {blocker.kind}, and {whose} may use "
            f"{blocker.limit} a minute. Send less at once."
        )
        return _refusal(message, wait=None)
    message = (
        f"Rate limit reached: {whose} may use {blocker.limit} {blocker.kind} a minute; this "
        f"request has {about}{amount}. Try again in {_duration(verdict.wait)}."
    )
    return _refusal(message, wait=verdict.wait)


def _refusal(message: str, *, wait: float | None) -> HTTPError:
    return HTTPError(
        429,
        message[0].upper() + message[1:],
        kind="rate_limit_error",
        code="rate_limit_exceeded",
        # What is too large now will be so later.
        retry=wait is not None,
        retry_after=wait,
    )


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `20ms`, `1s`, `6m0s`."""
    milliseconds = math.ceil(max(0.0, seconds) * 1000 - 1e-6)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, int(MINUTE * 1000))
    hours, minutes = divmod(minutes, 60)
    number = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    if hours:
        return f"{hours}h{minutes}m{number}s"
    return f"{minutes}m{number}s" if minutes else f"{number}s"
