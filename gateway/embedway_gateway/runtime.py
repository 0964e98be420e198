"""What the gateway knows of a local model, in whichever process it is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from embedway_gateway.precision import Precision

if TYPE_CHECKING:
    from embedway_local import LocalEmbedding, LocalRanking, VectorSpace

__all__ = ["Facts", "Loads", "RankFacts", "Ranker", "Runtime", "require_unicode"]


class Loads(NamedTuple):
    """What is loaded: the same twice is one model in memory."""

    model: str
    device: str = "auto"
    max_tokens: int | None = None
    precision: Precision = "fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Of a model that is loaded."""

    model: str
    device: str
    """Where it really runs."""
    dimensions: int
    max_tokens: int
    space: VectorSpace
    agreement: float | None = None
    """Its worst cosine with itself in fp32, where it is in another precision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankFacts:
    """Of a reranker that is loaded."""

    model: str
    device: str
    max_tokens: int
    """Of a pair."""


class _Model(Protocol):
    """One local model, whoever uses it."""

    @property
    def name(self) -> str:
        """The upstream that had it first, for the log."""
        ...

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the process that had loaded it ended, and another is being started."""
        ...

    async def close(self) -> None:
        """Stop loading and working."""
        ...


class Runtime(_Model, Protocol):
    """One that embeds."""

    @property
    def facts(self) -> Facts | None:
        """None until it was loaded."""
        ...

    async def load(self) -> Facts:
        """Loaded once, whoever asks first. Raises an `UpstreamError`."""
        ...

    async def encode(
        self, texts: Sequence[str], *, deadline: float | None = None
    ) -> LocalEmbedding:
        """
        Embed the texts as they are; a caller that is cancelled stops the work.

        `deadline` is on the monotonic clock. Raises `ValueError` for a text that has no UTF-8 form,
        `NotNumbers` for texts that the model has none for, other `LocalError` or `RuntimeError`
        when the device fails, and an `EmbeddingError` where nothing was computed at all.
        """
        ...


class Ranker(_Model, Protocol):
    """One that scores documents."""

    async def load(self) -> RankFacts:
        """Loaded once, whoever asks first. Raises an `UpstreamError`."""
        ...

    async def score(
        self, query: str, documents: Sequence[str], *, deadline: float | None = None
    ) -> LocalRanking:
        """How relevant each is, as they are; deadline and errors as of `Runtime.encode`."""
        ...


def require_unicode(texts: Sequence[str]) -> None:
    """Raise the runtime's `ValueError` for a text with a lone surrogate."""
    for index, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"text {index} has a lone surrogate at character {error.start}, "
                "which is no Unicode text; decode its source with errors='replace'"
            ) from None
