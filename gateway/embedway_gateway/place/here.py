"""A model in this process as an endpoint, with any pooling, and outside of any gateway."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, cast, get_args

from embedway_gateway.place.error import PlaceError
from embedway_gateway.place.option import choice, number
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.check import NOT_FINITE, check, unusable

if TYPE_CHECKING:
    from embedway_gateway.place.syntax import Spec
    from embedway_local import LocalEmbedder, Pooling

__all__ = ["Here", "open_embedder"]


class Here:
    """Embeds the inputs as they are: prompts are put in place above."""

    def __init__(self, name: str, embedder: LocalEmbedder) -> None:
        self._name = name
        self._embedder = embedder

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """In a thread; raises an `EmbeddingError`."""
        from embedway_local.error import LocalError, NotNumbers

        encode = partial(self._embedder.encode, request.inputs, input_type=None)
        try:
            done = await asyncio.to_thread(encode)
        except ValueError as error:
            raise InvalidRequest(str(error), param="input", upstream=self._name) from None
        except NotNumbers as error:
            raise unusable(
                *(NOT_FINITE, error.rows, len(request.inputs)),
                upstream=self._name,
                detail=error.reason,
            ) from error
        except (LocalError, RuntimeError) as error:
            raise UpstreamFailed(
                "the local runtime failed", upstream=self._name, detail=str(error)
            ) from error
        response = EmbeddingResponse(
            model=request.model,
            vectors=done.vectors,
            usage=Usage(done.tokens, done.tokens),
            served_by=self._name,
            truncated=done.truncated,
        )
        return check(response, request, None)


def open_embedder(spec: Spec, model: str) -> LocalEmbedder:
    """May download. Raises `PlaceError` for options that it does not take, or a `LocalError`."""
    from embedway_local import LocalEmbedder, Pooling
    from embedway_local.precision import PrecisionChoice

    pooling = choice(spec, "pooling", get_args(Pooling))
    precision = choice(spec, "precision", get_args(PrecisionChoice)) or "fp32"
    try:
        return LocalEmbedder(
            model,
            pooling=cast("Pooling | None", pooling),
            precision=cast("PrecisionChoice", precision),
            device=spec.options.get("device", "auto"),
            max_tokens=number(spec, "max_tokens"),
            threads=number(spec, "threads"),
        )
    except ValueError as error:
        raise PlaceError(f"{spec.label}: {error}") from None
