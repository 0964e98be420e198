"""What a bulk job needs of whoever embeds; `embedway_client.Client` is one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Encoded", "Encoder", "InputType", "Usage"]

InputType: TypeAlias = Literal["query", "document"]


class Usage(Protocol):
    """What the texts cost."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens read."""
        ...


class Encoded(Protocol):
    """Vectors, and what is known of them."""

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(n, d), row i of text i."""
        ...

    @property
    def usage(self) -> Usage:
        """What they cost."""
        ...

    @property
    def vector_space(self) -> str | None:
        """The fingerprint of their vector space; None when it is not told."""
        ...


class Encoder(Protocol):
    """Embeds; called from several threads at once."""

    def encode(self, texts: Sequence[str], *, input_type: InputType) -> Encoded:
        """One vector a text."""
        ...
