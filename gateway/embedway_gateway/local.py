"""A local model as an upstream, whichever process computes it."""

from __future__ import annotations

from embedway_gateway.runtime import Facts, Runtime
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InvalidRequest,
    UpstreamError,
    UpstreamFailed,
    Usage,
)
from embedway_upstream.check import NOT_FINITE, check, unusable

__all__ = ["Local"]


class Local:
    """Engine `local`: a runtime under an upstream's name, and with the size that it is to have."""

    def __init__(self, name: str, runtime: Runtime, *, dimensions: int | None) -> None:
        self.name = name
        self.runtime = runtime
        self._dimensions = dimensions

    @property
    def facts(self) -> Facts | None:
        """None until it was loaded."""
        return self.runtime.facts

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        return self.runtime.problem

    async def load(self) -> Facts:
        """What was loaded, once, whoever asks first."""
        try:
            return await self.runtime.load()
        except UpstreamError as error:
            # The model may be shared with an upstream of another name.
            error.upstream = self.name
            raise

    def present(self) -> bool:
        """Whether there is a process that computes it; no while that is being replaced."""
        return not self.runtime.gone

    async def send(self, request: EmbeddingRequest) -> EmbeddingResponse:
        """Embed the inputs as they are; prompts were put in place above."""
        # Before the import, which costs 0.1 s once: whoever loads makes it in a thread.
        await self.load()
        from embedway_local.error import LocalError, NotNumbers

        try:
            done = await self.runtime.encode(request.inputs, deadline=request.deadline)
        except ValueError as error:
            raise InvalidRequest(str(error), param="input", upstream=self.name) from None
        except NotNumbers as error:
            raise unusable(
                *(NOT_FINITE, error.rows, len(request.inputs)),
                upstream=self.name,
                detail=error.reason,
            ) from error
        except (LocalError, RuntimeError) as error:
            raise UpstreamFailed(
                "the local runtime failed", upstream=self.name, detail=str(error)
            ) from error
        except UpstreamError as error:
            error.upstream = self.name
            raise
        response = EmbeddingResponse(
            model=request.model,
            vectors=done.vectors,
            usage=Usage(done.tokens, done.tokens),
            served_by=self.name,
            truncated=done.truncated,
        )
        return check(response, request, self._dimensions)

    async def close(self) -> None:
        """Stop loading and working."""
        await self.runtime.close()
