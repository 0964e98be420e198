"""
Whatever upstreams do, an answer with status 200 holds the right vectors; all else is an error.

Scripts are drawn from seeds: `EMBEDWAY_FAULT_SCRIPTS=2000 pytest tests/e2e/test_fault_scripts.py`
plays so many; `EMBEDWAY_FAULT_FIRST=1234` begins elsewhere. What no gateway can see is not among
the faults: two vectors exchanged under their right numbers, or an upstream that becomes another
model without ever failing (its canary vectors are asked for again after five minutes).
"""

from __future__ import annotations

import asyncio
import base64
import os
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from doubles.engine_server import vectors_of
from doubles.fault_script import Ask, Part, Script, blames_the_caller, script_of
from doubles.replica import Fault, Replica
from doubles.serving import serving
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app

FIRST = int(os.environ.get("EMBEDWAY_FAULT_FIRST", "0"))
SCRIPTS = int(os.environ.get("EMBEDWAY_FAULT_SCRIPTS", "120"))
AT_ONCE = 8
CHUNK = 40
# `request_timeout` of the scripts, and what a busy machine may add.
LONGEST = 4.0 + 8.0
# A server that becomes another model was away for a moment: what it had begun has ended.
AWAY = 0.05


class Play:
    """One script, before a gateway of its own."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.replicas = [Replica(part.server) for part in script.parts]
        self.spaces: dict[str, str] = {}
        """The salt of each fingerprint that was shown."""
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []

    async def run(self) -> None:
        async with AsyncExitStack() as stack:
            for replica, part in zip(self.replicas, self.script.parts, strict=True):
                await stack.enter_async_context(replica)
                replica.fault = self._faults(part)
            config = Config.model_validate(self.script.config([one.url for one in self.replicas]))
            app = create_app(config, metrics=Metrics(CollectorRegistry()))
            url = await stack.enter_async_context(serving(app))
            client = httpx.AsyncClient(base_url=url, timeout=LONGEST)
            await stack.enter_async_context(client)
            for number, step in enumerate(self.script.steps):
                await self._change(number)
                await asyncio.gather(*(self._ask(client, ask) for ask in step))
            await self._heal(client)

    def _faults(self, part: Part) -> Any:
        dice = self.script.dice
        return lambda: dice.choice(part.faults) if dice.random() < part.share else None

    async def _change(self, step: int) -> None:
        for replica, part in zip(self.replicas, self.script.parts, strict=True):
            if part.leaves == step:
                await replica.refuse()
            elif part.leaves == step - 2:
                await replica.listen()
            if part.turns == step:
                replica.fault = self._away(replica, part)

    def _away(self, replica: Replica, part: Part) -> Any:
        """Fails; and comes back as another when it was seen to have failed."""
        # Not before a byte of the answer: a connection that was idle may be closed at any time,
        # and is no failure.
        word = self.script.dice.choice(("reset in body", "short", 502))
        behaves = self._faults(part)
        failed = 0
        since = 0.0

        def fault() -> Fault | None:
            nonlocal failed, since
            now = time.monotonic()
            since = since or now
            if failed < 2 or now - since < AWAY:
                failed += 1
                return word
            replica.engine.salt = part.salt
            replica.fault = behaves
            return behaves()

        return fault

    async def _heal(self, client: httpx.AsyncClient) -> None:
        """Where all are of one model and well again, there is an answer."""
        for replica in self.replicas:
            await replica.listen()
            replica.always(None)
        if self.script.changes:
            return
        response = await self._ask(client, Ask(("after all", "of it")))
        # Their timeouts are short for a busy machine.
        if response is None or response.status_code not in {200, 504}:
            said = "nothing" if response is None else response.text
            self.wrong.append(f"no answer although all replicas are well: {said}")

    async def _ask(self, client: httpx.AsyncClient, ask: Ask) -> httpx.Response | None:
        body: dict[str, Any] = {"model": "m", "input": ask.inputs, "input_type": ask.input_type}
        body["encoding_format"] = "base64" if ask.base64 else "float"
        if ask.dimensions is not None:
            body["dimensions"] = ask.dimensions
        begun = time.monotonic()
        try:
            async with asyncio.timeout(ask.gives_up):
                response = await client.post("/v1/embeddings", json=body)
        except TimeoutError:
            return None
        except httpx.HTTPError as error:
            self.wrong.append(f"{type(error).__name__} after {time.monotonic() - begun:.1f} s")
            return None
        self.statuses[response.status_code] += 1
        if response.status_code == 200:
            self._require_right(ask, response)
        else:
            self._require_error(response)
        return response

    def _require_right(self, ask: Ask, response: httpx.Response) -> None:
        items = response.json()["data"]
        if [item["index"] for item in items] != list(range(len(ask.inputs))):
            self.wrong.append(f"{len(items)} items for {len(ask.inputs)} texts")
            return
        rows = np.stack([_row(item["embedding"]) for item in items])
        salts = {"", *(part.salt for part in self.script.parts)}
        found = [salt for salt in salts if np.array_equal(rows, self._expected(ask, salt))]
        space = response.headers["x-embedway-vector-space"]
        who = f"of {len(ask.inputs)} texts from {response.headers['x-embedway-upstream']}, {space}"
        if not found:
            rows_of = [np.flatnonzero((rows == self._expected(ask, it)).all(1)) for it in salts]
            held = dict(zip(salts, (len(one) for one in rows_of), strict=True))
            self.wrong.append(f"WRONG VECTORS {who}: so many rows are of {held}")
        elif found[0] != self.spaces.setdefault(space, found[0]):
            self.wrong.append(f"FOREIGN VECTORS under the same fingerprint {who}")
        elif found[0] and found[0] != self.script.parts[self.script.reference].salt:
            self.wrong.append(f"FOREIGN VECTORS {who}")

    def _expected(self, ask: Ask, salt: str) -> NDArray[np.float32]:
        prompt = self.script.prompts.get(ask.input_type, "")
        texts = [salt + prompt + text for text in ask.inputs]
        rows = vectors_of(texts, model="model", dimensions=self.script.dimensions)
        if ask.dimensions is not None and ask.dimensions < self.script.dimensions:
            rows = rows[:, : ask.dimensions].copy()
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        return rows

    def _require_error(self, response: httpx.Response) -> None:
        error = response.json().get("error", {})
        status = response.status_code
        if set(error) != {"message", "type", "param", "code"} or not error["message"]:
            self.wrong.append(f"not OpenAI's form: {response.text[:200]}")
        elif status not in {400, 429, 502, 503, 504} or "x-should-retry" not in response.headers:
            self.wrong.append(f"{status}: {response.text[:200]}")
        elif status == 400 and not any(
            blames_the_caller(fault) for part in self.script.parts for fault in part.faults
        ):
            self.wrong.append(f"the caller is blamed: {response.text[:200]}")
        elif "secret" in response.text or "127.0.0.1" in response.text:
            self.wrong.append(f"an upstream's own words: {response.text[:200]}")


def _row(form: Any) -> NDArray[np.float32]:
    if isinstance(form, str):
        return np.frombuffer(base64.b64decode(form), "<f4")
    return np.array(form, np.float32)


@pytest.mark.parametrize("first", range(FIRST, FIRST + SCRIPTS, CHUNK))
async def test_the_right_vectors_or_an_error(first: int) -> None:
    plays = [Play(script_of(seed)) for seed in range(first, min(first + CHUNK, FIRST + SCRIPTS))]
    few = asyncio.Semaphore(AT_ONCE)

    async def run(play: Play) -> None:
        async with few:
            await play.run()

    await asyncio.gather(*(run(play) for play in plays))
    statuses = sum((play.statuses for play in plays), Counter())

    assert {} == {play.script.seed: play.wrong for play in plays if play.wrong}
    # They do ask, and are answered: fewer where upstreams fail so often that none gives all of its
    # canary vectors at the start.
    assert statuses[200] > statuses.total() / 5 > CHUNK / 2
