"""What the self-hosted engines have in common where they differ from OpenAI."""

from __future__ import annotations

from dataclasses import replace

from embedway_upstream.embedding import EmbeddingRequest, Usage
from embedway_upstream.engines.openai import OpenAI
from embedway_upstream.engines.usage import estimate

__all__ = ["Accent", "stem_of"]


class Accent(OpenAI):
    """
    OpenAI's contract, without `dimensions`: some engines ignore it, some cut without normalising,
    so that whoever asks for fewer must cut the vectors. Usage that is not told is estimated.
    """

    def __init__(self, *, model: str | None = None) -> None:
        super().__init__(model=model)

    def encode(self, request: EmbeddingRequest) -> bytes:
        """The body of the request, never with `dimensions`."""
        return super().encode(replace(request, dimensions=None))

    def usage(self, told: Usage, request: EmbeddingRequest) -> Usage:
        """What was told, else an estimate that says that it is one."""
        return told if told.total_tokens > 0 else estimate(request.inputs)


def stem_of(prefix: str) -> str:
    """What stands before a route: "v1", "/v1" and "/v1/" are one; empty for none."""
    stem = prefix.strip("/")
    return f"/{stem}" if stem else ""
