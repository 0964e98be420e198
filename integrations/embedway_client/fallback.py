"""Whether this process may stand in for a server that cannot be reached, and when it does."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from embedway_client.embedding import EmbeddingResult
from embedway_client.local import Local, load_errors
from embedway_client.remote import Remote
from embedway_client.space import Space
from embedway_upstream import InputType, UpstreamUnreachable

__all__ = ["Fallback", "Way"]

_log = logging.getLogger("embedway.client")


class Fallback:
    """
    Stands in only where its vectors are comparable with the server's: when the fingerprint that
    the server told, or that was configured, is the local model's.
    """

    def __init__(self, local: Local, space: Space) -> None:
        self._local = local
        self._space = space
        self.active = False
        """Whether the server was out of reach when it was last called."""

    def stand_in(self, error: UpstreamUnreachable) -> Local:
        """The local model; or `error` is raised, with a note that says why not. May load it."""
        reason = self._refusal()
        if reason:
            error.add_note(f'fallback="local" was not used: {reason}')
            raise error
        if not self.active:
            self.active = True
            _log.warning("%s Embedding in this process until it is back.", error.message)
        return self._local

    def _refusal(self) -> str:
        expected = self._space.known.fingerprint
        if expected is None:
            return (
                "the server's vector space is not known; it is learned from the first reply, or "
                "given as vector_space="
            )
        try:
            found = self._local.fingerprint
        except load_errors() as error:
            return str(error)
        if found != expected:
            return f"the local model's vector space is {found}, the server's is {expected}"
        return ""


class Way:
    """
    One call's way: through the server and, once that is out of reach, in this process.

    Only `UpstreamUnreachable` leads there: a server that answers, however badly, is there.
    """

    def __init__(self, remote: Remote, fallback: Fallback | None) -> None:
        self._remote = remote
        self._fallback = fallback
        self._local: Local | None = None

    def encode(self, texts: tuple[str, ...], input_type: InputType) -> EmbeddingResult:
        """Embed one request's texts."""
        if self._local is None:
            try:
                return self._back(self._remote.encode(texts, input_type, once=self._once))
            except UpstreamUnreachable as error:
                if self._fallback is None:
                    raise
                self._local = self._fallback.stand_in(error)
        return replace(self._local.encode(texts, input_type), fallback=True)

    async def aencode(self, texts: tuple[str, ...], input_type: InputType) -> EmbeddingResult:
        """Embed one request's texts; the event loop is not blocked."""
        if self._local is None:
            try:
                return self._back(await self._remote.aencode(texts, input_type, once=self._once))
            except UpstreamUnreachable as error:
                if self._fallback is None:
                    raise
                self._local = await asyncio.to_thread(self._fallback.stand_in, error)
        return replace(
            await asyncio.to_thread(self._local.encode, texts, input_type), fallback=True
        )

    @property
    def _once(self) -> bool:
        # While this process stands in, asking whether the server is back must not cost retries.
        return self._fallback is not None and self._fallback.active

    def _back(self, result: EmbeddingResult) -> EmbeddingResult:
        if self._fallback is not None:
            self._fallback.active = False
        return result
