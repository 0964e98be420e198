"""What calls cost: told to a callback and to whoever collects, across threads and tasks."""

from __future__ import annotations

import asyncio
import copy
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from doubles.rerank_upstream import RerankUpstream
from embedway_client import Client, UsageEvent, collect_usage
from embedway_upstream import EmbeddingError, Usage


def test_a_callback_is_told_once_a_call_however_many_requests(server, ask):
    events = []
    with Client("m", base_url=server.url, batch_size=2, on_usage=events.append) as client:
        result = ask(client, ["a", "b c", "d"])
        assert events == [UsageEvent("m", "embed", 3, result.usage, fallback=False)]
        ask(client, [])

    assert events == [UsageEvent("m", "embed", 3, Usage(4, 4), fallback=False)]


def test_reranking_is_counted_too(server):
    server.vectors = RerankUpstream()
    with collect_usage() as collected, Client("m", base_url=server.url) as client:
        client.rerank("q", ["a", "b"])
        client.rerank("q", [])

    assert (collected.calls, collected.texts) == (1, 2)
    assert collected.total_tokens > 0
    assert collected.usage["m"].estimated


def test_sums_are_kept_by_model_in_the_form_of_langchain(server, ask):
    with collect_usage() as collected:
        for model in ("m", "n", "m"):
            with Client(model, base_url=server.url) as client:
                ask(client, ["a b"])

    assert collected.usage_metadata == {
        "m": {"input_tokens": 4, "output_tokens": 0, "total_tokens": 4},
        "n": {"input_tokens": 2, "output_tokens": 0, "total_tokens": 2},
    }
    assert (collected.calls, collected.texts, collected.total_tokens) == (3, 3, 6)
    assert "'total_tokens': 4" in repr(collected)


def test_only_what_is_inside_is_counted_and_by_each_around_it(server, ask):
    with Client("m", base_url=server.url) as client:
        ask(client, ["a"])
        with collect_usage() as outer:
            ask(client, ["a"])
            with collect_usage() as inner:
                ask(client, ["a"])
        ask(client, ["a"])

    assert (outer.calls, inner.calls) == (2, 1)


def test_what_failed_is_not_counted(server, ask):
    server.error(400)
    with (
        collect_usage() as collected,
        Client("m", base_url=server.url) as client,
        pytest.raises(EmbeddingError),
    ):
        ask(client, ["a"])

    assert collected.calls == 0


async def test_tasks_count_for_themselves_and_for_whoever_started_them(server):
    async with Client("m", base_url=server.url) as client:

        async def work(times: int) -> int:
            with collect_usage() as own:
                for _ in range(times):
                    await client.aembed(["a"])
            return own.calls

        with collect_usage() as all_of_them:
            counts = await asyncio.gather(*[work(number) for number in (1, 2, 3)])
            await asyncio.to_thread(client.embed, ["a"])

    assert counts == [1, 2, 3]
    assert all_of_them.calls == 7


def test_threads_do_not_count_for_each_other(server):
    together = threading.Barrier(4)
    with Client("m", base_url=server.url) as client:

        def work(times: int) -> int:
            with collect_usage() as own:
                together.wait(10)
                for _ in range(times):
                    client.embed(["a"])
                return own.calls

        with ThreadPoolExecutor(4) as threads:
            assert list(threads.map(work, range(4))) == [0, 1, 2, 3]


def test_one_collector_counts_exactly_for_many_threads(server):
    with Client("m", base_url=server.url) as client, collect_usage() as collected:

        def work(_: int) -> None:
            collected.add(UsageEvent("m", "embed", 1, Usage(1, 1), fallback=False))

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(work, range(2000)))
        client.embed(["a"])

    assert (collected.calls, collected.total_tokens) == (2001, 2001)


def test_a_copy_tells_the_same_callback(server):
    events = []
    client = Client("m", base_url=server.url, on_usage=events.append)
    copy.deepcopy(client).embed(["a"])

    assert len(events) == 1


def test_what_the_callback_raises_reaches_the_caller(server, ask):
    def refuse(_: UsageEvent) -> None:
        raise PermissionError("over budget")

    with (
        Client("m", base_url=server.url, on_usage=refuse) as client,
        pytest.raises(PermissionError, match="over budget"),
    ):
        ask(client, ["a"])
