"""Our errors for what LiteLLM raises: read from the cause of its errors more than from their class.

LiteLLM makes "connection error, 500" of much: of Cohere's 401 and 429, of its own bugs, of a key
that is missing. What the provider answered is found further down, in the error of the HTTP client.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from embedway_upstream import (
    BadReply,
    EmbeddingError,
    InvalidRequest,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from embedway_upstream.engines.openai import OpenAI
from embedway_upstream.engines.status import from_status
from embedway_upstream.engines.verdict import (
    Finding,
    Rule,
    judge,
    no_key,
    too_large,
    too_long,
    too_many,
)

__all__ = ["AdapterFailed", "translate"]

_DEEPEST = 16

_TIMEOUTS = frozenset({"TimeoutException", "APITimeoutError", "TimeoutError", "Timeout"})
_BROKEN = frozenset(
    {"APIConnectionError", "ClientError", "ConnectionError", "TransportError", "gaierror"}
)
# LiteLLM's own classes that say what a provider without an HTTP answer (an SDK) meant.
_CLASSES = {
    "AuthenticationError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "RateLimitError": 429,
    "ServiceUnavailableError": 503,
}


class AdapterFailed(UpstreamFailed):
    """LiteLLM failed by itself: a bug would fail again, a broken answer would not."""

    most_retries = 1


def _special(found: Finding) -> EmbeddingError:
    return InvalidRequest(
        "a text holds a tokenizer's special token, like <|endoftext|>, which LiteLLM cannot count "
        "for this provider",
        param="input",
        detail=found.detail,
    )


_INVALID = frozenset({400, 413, 422})
# Of Cohere, Google and OpenAI. The last is for what LiteLLM knows of Cohere and Google, too.
_RULES = (
    Rule(too_many, says=r"number of texts must be at most (?P<limit>\d+)", statuses=_INVALID),
    Rule(too_many, says=r"most (?P<limit>\d+) requests can be in one batch", statuses=_INVALID),
    Rule(too_large, says=r"max_tokens_per_request|tokens per request", statuses=_INVALID),
    *OpenAI.rules,
    Rule(too_long, says=r"too many tokens|input token count is \d+ but", statuses=_INVALID),
)
_OWN = (
    Rule(no_key, says=r"api[ _]?key|missing credentials|unable to locate credentials"),
    Rule(_special, says=r"disallowed special token"),
)


def translate(error: Exception) -> EmbeddingError:
    """The error that it stands for; nothing of its text is passed on."""
    chain = list(_chain(error))
    names = [{parent.__name__ for parent in type(one).__mro__} for one in chain]
    # LiteLLM's own "connection error" is no evidence of one.
    causes = [
        known
        for known, one in zip(names, chain, strict=True)
        if type(one).__module__ != "litellm.exceptions"
    ]
    answers = [answer for one in chain if (answer := _answer(one)) is not None]
    found: EmbeddingError
    if answers:
        found = _judged(error, answers[-1])
    elif any(_TIMEOUTS & known for known in names):
        found = UpstreamTimeout("the upstream did not answer in time")
    elif any(_BROKEN & known for known in causes):
        found = UpstreamUnreachable("the upstream could not be reached")
    elif any("JSONDecodeError" in known for known in names):
        found = BadReply("the upstream's reply is not JSON")
    else:
        found = _own(error, names[0])
    found.detail = _detail(error, answers)
    return found


def _judged(error: Exception, answer: httpx.Response) -> EmbeddingError:
    headers = {key.lower(): value for key, value in answer.headers.items()}
    try:
        body = answer.content
    except httpx.ResponseNotRead:
        body = b""
    found = judge(_RULES, answer.status_code, headers, body)
    if type(found) is InvalidRequest and type(error).__name__ == "ContextWindowExceededError":
        return too_long(Finding(""))
    return found


def _own(error: Exception, names: set[str]) -> EmbeddingError:
    """Of an error without an HTTP answer."""
    if "ContextWindowExceededError" in names:
        return too_long(Finding(""))
    for known, status in _CLASSES.items():
        if known in names:
            return from_status(status, {})
    for rule in _OWN:
        finding = rule.finding(0, {}, str(error), frozenset())
        if finding is not None:
            return rule.verdict(finding)
    if "BadRequestError" in names or "Unsupported provider" in str(error):
        # Nobody was asked: LiteLLM knows no such provider, or not for this task.
        return UpstreamRefused(
            "LiteLLM does not know the upstream's model for this task; check `model:` of the "
            "upstream, and LiteLLM's version"
        )
    return AdapterFailed("LiteLLM failed to make the call, or to read its answer")


def _answer(error: BaseException) -> httpx.Response | None:
    """
    The provider's answer, where the error is the HTTP client's: LiteLLM's own errors have a
    response too, made up.
    """
    is_client = isinstance(error, httpx.HTTPStatusError) or type(error).__module__ in {
        "openai",
        "openai._exceptions",
    }
    response = getattr(error, "response", None)
    return response if is_client and isinstance(response, httpx.Response) else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised over, but nothing of ours."""
    one: BaseException | None = error
    for _ in range(_DEEPEST):
        if one is None or isinstance(one, EmbeddingError):
            return
        yield one
        one = one.__cause__ or one.__context__


def _detail(error: Exception, answers: list[httpx.Response]) -> str:
    status = f" (status {answers[-1].status_code})" if answers else ""
    return f"litellm {type(error).__name__}{status}"
