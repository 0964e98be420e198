"""A local model in the model process, as a worker sees it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from embedway_gateway.model_process.frame import Payload
from embedway_gateway.model_process.lease import Lease, raised
from embedway_gateway.model_process.line import Line
from embedway_gateway.model_process.message import Answer, Embed, Embedded, Load, Loaded
from embedway_gateway.runtime import Facts, Loads, require_unicode
from embedway_upstream import BadReply

if TYPE_CHECKING:
    from embedway_local import LocalEmbedding

__all__ = ["OutOfProcess"]


class OutOfProcess:
    """The same as `InProcess`, with the same errors; see `Lease` for what happens to it."""

    def __init__(self, name: str, loads: Loads, line: Line, *, patience: float = 10.0) -> None:
        self.name = name
        self._lease = Lease(
            name,
            line,
            ask=partial(Load, loads=loads),
            read=_facts,
            same=lambda new, old: new.space == old.space,
            patience=patience,
        )

    @property
    def facts(self) -> Facts | None:
        """None until it was loaded."""
        return self._lease.known

    @property
    def problem(self) -> str:
        """Why it does not serve; empty when it does."""
        return self._lease.problem

    @property
    def gone(self) -> bool:
        """Whether the process ended, and another is being started."""
        return self._lease.gone

    async def load(self) -> Facts:
        """Loaded once, whoever asks first."""
        return await self._lease.load()

    async def encode(
        self, texts: Sequence[str], *, deadline: float | None = None
    ) -> LocalEmbedding:
        """Embed the texts as they are, in the model process."""
        lease = self._lease
        load = await lease.number()
        ask = Embed(lease.line.number(), load, tuple(texts), lease.seconds(deadline))
        try:
            answer, payload = await lease.line.ask(ask)
        except UnicodeEncodeError:
            require_unicode(texts)
            raise
        if not isinstance(answer, Embedded):
            raise raised(answer, self.name)
        return self._embedding(answer, payload, len(texts))

    async def close(self) -> None:
        """Tell that this worker needs it no more."""
        await self._lease.close()

    def _embedding(self, answer: Embedded, payload: Payload, texts: int) -> LocalEmbedding:
        from embedway_local import LocalEmbedding

        assert self.facts is not None
        width = self.facts.dimensions
        if answer.rows != texts or payload.nbytes != texts * width * 4:
            raise BadReply(
                f"the model process gave {payload.nbytes} bytes for {texts} vectors of {width}"
            )
        vectors = payload.view("<f4").reshape(texts, width).astype(np.float32, copy=False)
        return LocalEmbedding(vectors, answer.tokens, answer.truncated)


def _facts(answer: Answer) -> Facts:
    from embedway_local import VectorSpace

    if not isinstance(answer, Loaded):
        raise BadReply("the model process answered another question")
    space = msgspec.convert(answer.space, VectorSpace)
    if space.fingerprint != answer.fingerprint:
        raise BadReply("the model process tells another vector space than it has")
    return Facts(
        model=answer.model,
        device=answer.device,
        dimensions=answer.dimensions,
        max_tokens=answer.max_tokens,
        space=space,
        agreement=answer.agreement,
    )
