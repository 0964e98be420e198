"""Rerankers are in the model process like what embeds, with the same scores and errors."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias, cast

import httpx
import numpy as np
import pytest

from doubles.gateway_process import running_gateway
from doubles.model_process import ModelProcess, model_process, until
from embedway_gateway.local_rerank import LocalRerank
from embedway_gateway.metric import Metrics
from embedway_gateway.model_process import message
from embedway_gateway.model_process.caller import Caller
from embedway_gateway.model_process.held import Held
from embedway_gateway.model_process.line import Line
from embedway_gateway.model_process.rank_out_of_process import RankOutOfProcess
from embedway_gateway.rank_in_process import RankInProcess, rank_in_process
from embedway_gateway.runtime import Loads, RankFacts
from embedway_gateway.runtimes import Makers
from embedway_local import LocalRanking, LocalReranker
from embedway_upstream import DeadlineExceeded, InvalidRequest, RerankRequest, UpstreamFailed

Serve: TypeAlias = Callable[[Loads], AbstractAsyncContextManager[LocalRerank]]

FOLDER = Path(__file__).parents[2] / "local_runtime" / "reference" / "rerankers"
PAIRS = json.loads((FOLDER / "pairs.json").read_text())
QUERY, DOCUMENTS = PAIRS["queries"][0], PAIRS["documents"]
SCORES = json.loads((FOLDER / "bert" / "expected.json").read_text())[: len(DOCUMENTS)]
LOADS = Loads(str(FOLDER / "bert"), "cpu")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path))


@asynccontextmanager
async def here(loads: Loads) -> AsyncIterator[LocalRerank]:
    local = LocalRerank("up", rank_in_process("up", loads))
    yield local
    await local.close()


@asynccontextmanager
async def of(process: ModelProcess, loads: Loads = LOADS) -> AsyncIterator[LocalRerank]:
    line = Line(process.path)
    local = LocalRerank("up", RankOutOfProcess("up", loads, line))
    yield local
    await local.close()
    line.close()


@asynccontextmanager
async def there(loads: Loads) -> AsyncIterator[LocalRerank]:
    async with model_process() as process:
        async with of(process, loads) as local:
            yield local
        await until(lambda: not process.models)


both = pytest.mark.parametrize("serve", [here, there])


def request(*documents: str, **more: Any) -> RerankRequest:
    return RerankRequest("m", QUERY, documents or tuple(DOCUMENTS), **more)


@both
async def test_scores_are_those_of_the_model(serve: Serve) -> None:
    async with serve(LOADS) as local:
        facts = await local.load()
        response = await local.send(request())
        first = await local.send(request(top_n=1))

    assert (str(FOLDER / "bert"), "cpu") == (facts.model, facts.device)
    scores = {result.index: result.relevance_score for result in response.results}
    np.testing.assert_allclose([scores[i] for i in range(len(DOCUMENTS))], SCORES, atol=1e-5)
    assert first.results == response.results[:1]
    assert response.usage.total_tokens > len(DOCUMENTS)


@both
async def test_a_document_without_a_utf8_form_is_the_callers_mistake(serve: Serve) -> None:
    async with serve(LOADS) as local:
        with pytest.raises(InvalidRequest, match="lone surrogate"):
            await local.send(request("fine", "a\ud800"))


@both
async def test_a_model_that_cannot_be_loaded_says_why(serve: Serve) -> None:
    async with serve(Loads(str(FOLDER / "nowhere"))) as local:
        with pytest.raises(UpstreamFailed, match="could not be loaded") as caught:
            await local.send(request())

    assert "nowhere" in local.problem
    assert "up" == caught.value.upstream


async def test_nothing_is_computed_after_the_deadline() -> None:
    async with there(LOADS) as local:
        await local.load()
        with pytest.raises(DeadlineExceeded):
            await local.send(request(deadline=0.0))


async def test_what_nobody_waits_for_ends() -> None:
    class Slow:
        model, device, max_tokens = "m", "cpu", 8
        scored = 0

        def score(self, _query: str, documents: Any) -> LocalRanking:
            self.scored += len(documents)
            begun.set()
            assert release.wait(10)
            return LocalRanking(np.zeros(len(documents), np.float32), 0, 0)

        def close(self) -> None: ...

    begun, release, slow = threading.Event(), threading.Event(), Slow()
    ranker = RankInProcess("up", lambda: cast("LocalReranker", slow))
    call = asyncio.create_task(ranker.score("q", ["a"] * 1000))
    await until(begun.is_set)
    call.cancel()
    await asyncio.wait([call])
    release.set()
    # The thread is free again.
    await asyncio.to_thread(ranker._threads.shutdown)

    assert 256 == slow.scored


@both
async def test_many_documents_have_the_scores_that_few_have(serve: Serve) -> None:
    many = tuple(DOCUMENTS) * (600 // len(DOCUMENTS) + 1)
    async with serve(LOADS) as local:
        response = await local.send(request(*many))
        with pytest.raises(InvalidRequest, match=f"{len(many)} has a lone surrogate"):
            await local.send(request(*many, "a\ud800"))

    scores = {result.index: result.relevance_score for result in response.results}
    found = np.array([scores[i] for i in range(len(many))]).reshape(-1, len(DOCUMENTS))
    np.testing.assert_allclose(found, np.broadcast_to(SCORES, found.shape), atol=1e-5)


async def test_workers_share_one_and_it_comes_back() -> None:
    async with model_process() as process, of(process) as local, of(process) as other:
        before = await local.send(request())
        await other.load()
        assert 1 == process.models
        await process.die()
        await until(lambda: local.problem)
        assert not local.present()
        await process.start()
        after = await local.send(request())

        assert before.results == after.results
        assert local.present()
        assert 1 == process.models


class Passing:
    """A ranker whose load is cancelled just when it has ended."""

    problem, name, gone = "", "up", False

    def __init__(self) -> None:
        self.caller: Caller
        self.closed = asyncio.Event()

    async def load(self) -> RankFacts:
        cancel = message.encode(message.Cancel(1))
        asyncio.get_running_loop().call_soon(self.caller._received, cancel, np.empty(0, np.uint8))
        return RankFacts(model="m", device="cpu", max_tokens=8)

    async def score(self, query: str, documents: Any, *, deadline: float | None = None) -> Any:
        raise AssertionError

    async def close(self) -> None:
        self.closed.set()


async def test_a_load_that_is_given_up_in_the_moment_of_its_end_is_given_back() -> None:
    metrics, ranker = Metrics(), Passing()
    held = Held(metrics.local_models, Makers(ranker=lambda _name, _loads: ranker))
    ranker.caller = Caller(held, metrics)
    load = message.encode(message.LoadRanker(1, LOADS))
    ranker.caller._received(load, np.empty(0, np.uint8))

    async with asyncio.timeout(10):
        await ranker.closed.wait()


def test_two_workers_of_a_gateway_load_it_once(tmp_path: Path) -> None:
    path = tmp_path / "embedway.yaml"
    upstream = f"{{name: up, engine: local, model: {FOLDER / 'bert'}}}"
    path.write_text(f"models: [{{name: m, capabilities: [rerank], upstreams: [{upstream}]}}]")
    with running_gateway("--workers", "2", "--config", str(path)) as gateway:
        gateway.wait_ready()
        body = {"model": "m", "query": QUERY, "documents": DOCUMENTS[1:]}
        # Each connection may be accepted by the other worker.
        replies = [httpx.post(f"{gateway.base_url}/rerank", json=body) for _ in range(6)]

        assert {200} == {reply.status_code for reply in replies}
        assert 1 == len({json.dumps(reply.json()["results"]) for reply in replies})
        assert 1 == sum("which reranks" in line for line in gateway.log)
        assert b"embedway_model_process_models 1.0" in gateway.get("/metrics")[1]
        assert 0 == gateway.stop()
