"""What an error of ours is called in LiteLLM."""

from __future__ import annotations

from collections.abc import Callable

import httpx
from litellm import exceptions

from embedway_client import AuthenticationFailed, VectorSpaceChanged
from embedway_upstream import (
    BadReply,
    BatchTooLarge,
    EmbeddingError,
    InputTooLong,
    InvalidRequest,
    Overloaded,
    RateLimited,
    UnknownModel,
    UpstreamTimeout,
    UpstreamUnreachable,
    WrongSpace,
)

__all__ = ["refused", "translated"]

# The first that fits; the more special ones come first.
_NAMES: tuple[tuple[type[Exception], Callable[..., Exception], int], ...] = (
    (AuthenticationFailed, exceptions.AuthenticationError, 401),
    # Trying again cannot bring the old space back, and another deployment must not be asked.
    (VectorSpaceChanged, exceptions.BadRequestError, 400),
    (UnknownModel, exceptions.NotFoundError, 404),
    (BatchTooLarge, exceptions.BadRequestError, 400),
    (InputTooLong, exceptions.ContextWindowExceededError, 400),
    (InvalidRequest, exceptions.BadRequestError, 400),
    (RateLimited, exceptions.RateLimitError, 429),
    (UpstreamTimeout, exceptions.Timeout, 408),
    (UpstreamUnreachable, exceptions.APIConnectionError, 500),
    (BadReply, exceptions.InternalServerError, 500),
    (WrongSpace, exceptions.BadRequestError, 400),
    (Overloaded, exceptions.ServiceUnavailableError, 503),
    (EmbeddingError, exceptions.InternalServerError, 500),
    (ValueError, exceptions.BadRequestError, 400),
    (TypeError, exceptions.BadRequestError, 400),
    (ImportError, exceptions.BadRequestError, 400),
)


def translated(error: Exception, model: str) -> Exception:
    """LiteLLM's error; `error` itself where it has none. It never holds inputs or secrets."""
    for ours, theirs, status in _NAMES:
        if isinstance(error, ours):
            told: dict[str, object] = {"message": str(error), "model": model}
            if theirs not in (exceptions.Timeout, exceptions.APIConnectionError):
                told["response"] = _response(status, getattr(error, "retry_after", None))
            return theirs(llm_provider="embedway", **told)  # pyright: ignore[reportArgumentType]
    return error


def refused(model: str) -> Exception:
    """For what is not an embedding."""
    told = "embedway/… embeds, and nothing else; to chat through a gateway: openai/… with api_base"
    return exceptions.BadRequestError(message=told, model=model, llm_provider="embedway")


def _response(status: int, retry_after: float | None) -> httpx.Response:
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    # LiteLLM wants a request; the address is nobody's.
    request = httpx.Request("POST", "http://embedway.invalid/v1/embeddings")
    return httpx.Response(status, headers=headers, request=request)
