"""A stand-in for OCI's scoring server: runs a folder's `score.py` behind `POST /predict`."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from doubles.time import Time

_SECONDS = 60.0
_MOST_BYTES = 10_000_000


@dataclass
class ScoreService:
    """
    An ASGI application. Whatever `predict` raises is a 500 with the exception's text.

    Bodies over 10 MB are 413, as OCI has it. With `takes`, a prediction takes so long on `clock`,
    and the platform answers for it when its 60 seconds are over.
    """

    predict: Callable[[Any], Any]
    bodies: list[Any] = field(default_factory=list)
    """Of the requests, as they were read."""
    sizes: list[int] = field(default_factory=list)
    """Of the answers, in bytes."""
    takes: float = 0.0
    clock: Time = field(default_factory=Time)

    def reset(self) -> None:
        """Quick again, and without memory."""
        self.takes = 0.0
        self.bodies.clear()
        self.sizes.clear()

    @property
    def inputs(self) -> list[Any]:
        """Of each request."""
        return [body["input"] for body in self.bodies]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        sent = b""
        while True:
            message = await receive()
            sent += message.get("body", b"")
            if not message.get("more_body"):
                break
        found = (scope["method"], scope["path"]) == ("POST", "/predict")
        status, body = await self._score(sent) if found else (404, b"{}")
        self.sizes.append(len(body))
        lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})

    async def _score(self, sent: bytes) -> tuple[int, bytes]:
        if len(sent) > _MOST_BYTES:
            return 413, b'{"code": "PayloadTooLarge", "message": ""}'
        self.clock.now += min(self.takes, _SECONDS)
        if self.takes > _SECONDS:
            return _failed("")
        try:
            data = json.loads(sent)
            self.bodies.append(data)
            answer = await asyncio.to_thread(self.predict, data)
            return 200, json.dumps(answer).encode()
        except Exception as error:  # noqa: BLE001 - so does the server that this stands for
            return _failed(str(error))


def _failed(words: str) -> tuple[int, bytes]:
    return 500, json.dumps({"code": "InternalServerError", "message": words}).encode()


def unpack(folder: Path, *, tokenizer: Path) -> Path:
    """A folder with `score.py` and its tokenizer; returns where its model belongs."""
    (folder / "onnx").mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("score.py"), folder)
    shutil.copy(tokenizer, folder)
    return folder / "onnx" / "model.onnx"


def load(folder: Path) -> ModuleType:
    """The folder's `score.py`, run as the platform does it."""
    spec = importlib.util.spec_from_file_location("score", folder / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
