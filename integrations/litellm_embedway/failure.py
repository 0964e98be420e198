"""What an error of ours is called in LiteLLM."""

from __future__ import annotations

import httpx
import litellm

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

__all__ = ["translated"]

# The first that fits; the more special ones come first.
_NAMES: tuple[tuple[type[Exception], type[Exception], int], ...] = (
    (AuthenticationFailed, litellm.AuthenticationError, 401),
    # Trying again cannot bring the old space back, and another deployment must not be asked.
    (VectorSpaceChanged, litellm.BadRequestError, 400),
    (UnknownModel, litellm.NotFoundError, 404),
    (BatchTooLarge, litellm.BadRequestError, 400),
    (InputTooLong, litellm.ContextWindowExceededError, 400),
    (InvalidRequest, litellm.BadRequestError, 400),
    (RateLimited, litellm.RateLimitError, 429),
    (UpstreamTimeout, litellm.Timeout, 408),
    (UpstreamUnreachable, litellm.APIConnectionError, 500),
    (BadReply, litellm.InternalServerError, 500),
    (WrongSpace, litellm.BadRequestError, 400),
    (Overloaded, litellm.ServiceUnavailableError, 503),
    (EmbeddingError, litellm.InternalServerError, 500),
    (ValueError, litellm.BadRequestError, 400),
    (TypeError, litellm.BadRequestError, 400),
    (ImportError, litellm.BadRequestError, 400),
)


def translated(error: Exception, model: str) -> Exception:
    """LiteLLM's error; `error` itself where it has none. It never holds inputs or secrets."""
    for ours, theirs, status in _NAMES:
        if isinstance(error, ours):
            told: dict[str, object] = {"message": str(error), "model": model}
            if theirs not in (litellm.Timeout, litellm.APIConnectionError):
                told["response"] = _response(status, getattr(error, "retry_after", None))
            return theirs(llm_provider="embedway", **told)
    return error


def _response(status: int, retry_after: float | None) -> httpx.Response:
    headers = {} if retry_after is None else {"retry-after": f"{retry_after:g}"}
    # LiteLLM wants a request; the address is nobody's.
    request = httpx.Request("POST", "http://embedway.invalid/v1/embeddings")
    return httpx.Response(status, headers=headers, request=request)
