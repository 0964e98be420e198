"""What a client is made of, opened and closed together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from embedway_client.attempt import Pace
from embedway_client.connection import Connections
from embedway_client.encoder import Encoder
from embedway_client.ranker import Ranker

if TYPE_CHECKING:
    import httpx

    from embedway_client.line import Line
    from embedway_client.settings import Settings
    from embedway_client.space import Known

__all__ = ["Assembly"]


class Assembly:
    """One line to the server, where there is one, for whatever it is asked. Does no I/O."""

    def __init__(
        self,
        settings: Settings,
        http_client: httpx.Client | None = None,
        http_async_client: httpx.AsyncClient | None = None,
        *,
        pace: Pace | None = None,
        known: Known | None = None,
    ) -> None:
        self.settings = settings
        self.given = (http_client, http_async_client)
        self.space = settings.space(known)
        self.line: Line | None = None
        if settings.is_remote:
            connections = Connections(settings.base_url, *_of_httpx(*self.given))
            self.line = settings.line(connections, pace or Pace())
        self._encoder = Encoder(settings, self.line, self.space)
        self._ranker = Ranker(settings, self.line)
        self._closed = False

    @property
    def encoder(self) -> Encoder:
        """Raises `RuntimeError` once it is closed."""
        self._require_open()
        return self._encoder

    @property
    def ranker(self) -> Ranker:
        """Raises `RuntimeError` once it is closed."""
        self._require_open()
        return self._ranker

    def twin(self) -> Assembly:
        """
        Another, with connections of its own unless they were given. Settings do not change, and
        credentials refuse to be taken apart: both are shared.
        """
        return Assembly(self.settings, *self.given, known=self.space.known)

    def close(self) -> None:
        """Close the connections, and free the local models."""
        self._closed = True
        if self.line is not None:
            self.line.close()
        self._free()

    async def aclose(self) -> None:
        """Like `close`; the running event loop's connections are closed when this returns."""
        self._closed = True
        if self.line is not None:
            await self.line.aclose()
        await asyncio.to_thread(self._free)

    def _free(self) -> None:
        self._encoder.close()
        self._ranker.close()

    def _require_open(self) -> None:
        if self._closed:
            raise RuntimeError("this Client is closed")


def _of_httpx(
    client: httpx.Client | None, async_client: httpx.AsyncClient | None
) -> tuple[httpx.Client | None, httpx.AsyncClient | None]:
    """Both as they came; raises `TypeError` for those of httpx2, or of the other kind."""
    if client is not None or async_client is not None:
        import httpx

        for name, given, kind in (
            ("http_client", client, httpx.Client),
            ("http_async_client", async_client, httpx.AsyncClient),
        ):
            if given is not None and not isinstance(given, kind):
                found = f"{type(given).__module__.partition('.')[0]}.{type(given).__name__}"
                raise TypeError(f"{name}= takes an httpx.{kind.__name__}, not {found}")
    return client, async_client
