"""The model process's end of the socket, in the test's own event loop."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from embedway_gateway.in_process import in_process
from embedway_gateway.metric import Metrics
from embedway_gateway.model_process.caller import Caller
from embedway_gateway.model_process.frame import Frames
from embedway_gateway.model_process.held import Held
from embedway_gateway.runtimes import Make, Makers

__all__ = ["ModelProcess", "model_process"]


class ModelProcess:
    """`die` and `start` it as often as is wanted; its socket's path stays."""

    def __init__(self, path: str, make: Make) -> None:
        self.path = path
        self.make = make
        self.metrics = Metrics()
        self._server: asyncio.Server | None = None
        self._callers: set[Caller] = set()

    async def start(self) -> None:
        """With nothing loaded."""
        held = Held(self.metrics.local_models, Makers(embedder=self.make))

        def called() -> Frames:
            caller = Caller(held, self.metrics, ended=self._callers.discard)
            self._callers.add(caller)
            return caller.frames

        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(called, self.path)

    async def die(self) -> None:
        """All connections end, and nobody listens."""
        assert self._server is not None
        self._server.close()
        await asyncio.to_thread(Path(self.path).unlink, missing_ok=True)
        for caller in list(self._callers):
            caller.frames.close()
        await until(lambda: not self._callers)

    @property
    def models(self) -> float:
        """How many it holds."""
        return self.metrics.registry.get_sample_value("embedway_model_process_models") or 0.0


async def until(true: Callable[[], object]) -> None:
    """Wait for what happens in the event loop or a thread."""
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 – it may happen in a thread
            await asyncio.sleep(0.001)


@asynccontextmanager
async def model_process(make: Make = in_process) -> AsyncIterator[ModelProcess]:
    """One that runs; its folder is short, as a socket's path must be."""
    with tempfile.TemporaryDirectory(prefix="embedway-") as folder:
        process = ModelProcess(str(Path(folder) / "socket"), make)
        await process.start()
        try:
            yield process
        finally:
            await process.die()
