"""Callers that never rest, as the openai client calls: on kept connections, again after a 503."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx
import numpy as np

from embedway_upstream.testing import fake_vectors

_SIZE = 8


@dataclass
class Callers:
    """
    Each asks for a text of its own, again and again, until the gateway is no more. `wrong` holds
    what no caller may ever see, `lost` the ids of requests that got no answer.
    """

    base_url: str
    count: int = 16
    key: str = ""
    served_by: list[str] = field(default_factory=list)
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._call, args=(n,), daemon=True) for n in range(self.count)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """Stop, and wait for the last answers."""
        self._over.set()
        for thread in self._threads:
            thread.join(20)

    def _call(self, number: int) -> None:
        with httpx.Client(timeout=20) as client:
            turn = 1
            # Once at least, however long the client took to be made.
            while self._ask(client, f"caller {number} turn {turn}") and not self._over.is_set():
                turn += 1

    def _ask(self, client: httpx.Client, text: str) -> bool:
        name = uuid.uuid4().hex
        bearer = {"authorization": f"Bearer {self.key}"} if self.key else {}
        try:
            answer = client.post(
                f"{self.base_url}/embeddings",
                json={"model": "m", "input": text},
                headers={"x-request-id": name, **bearer},
            )
        except httpx.TransportError:
            self.lost.append(name)
            return False
        if answer.status_code == 503 and answer.json()["error"]["code"] == "shutting_down":
            self.refused += 1
            if "retry-after" not in answer.headers:
                self.wrong.append("a refusal without Retry-After")
            return False
        if answer.status_code != 200:
            self.wrong.append(f"{answer.status_code} {answer.text}")
            return True
        found = np.array(answer.json()["data"][0]["embedding"], np.float32)
        if not np.allclose(found, fake_vectors([text], _SIZE)[0], atol=1e-6):
            self.wrong.append(f"not the vector of {text!r}")
        self.served_by.append(answer.headers["x-embedway-upstream"])
        return True
