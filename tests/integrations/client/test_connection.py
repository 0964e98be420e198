"""Connections are used again, belong to one event loop, and are closed by themselves."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import socket
import threading
import warnings

import httpx
import pytest

from embedway_client import Client
from embedway_client.exchange import exchange, exchange_async
from embedway_upstream import BadReply, HTTPCall, UpstreamTimeout


def test_sync_calls_share_a_connection(server):
    with Client("m", base_url=server.url) as client:
        for _ in range(5):
            client.embed(["a"])

    assert len(server.connections) == 1


async def test_async_calls_in_a_loop_share_a_connection(server):
    async with Client("m", base_url=server.url) as client:
        for _ in range(5):
            await client.aembed(["a"])

    assert len(server.connections) == 1


def test_each_event_loop_has_its_own(server):
    client = Client("m", base_url=server.url)

    async def twice() -> None:
        await client.aembed(["a"])
        await client.aembed(["a"])

    for _ in range(3):
        asyncio.run(twice())
    client.close()

    assert len(server.connections) == 3
    assert client._inner.line._connections._loops._kept == {}


def test_loops_in_several_threads_do_not_meet(server):
    client = Client("m", base_url=server.url)
    errors: list[BaseException] = []

    async def several() -> None:
        await asyncio.gather(*[client.aembed([str(number)]) for number in range(5)])

    def work() -> None:
        try:
            for _ in range(3):
                asyncio.run(several())
        except BaseException as error:  # noqa: BLE001 - the thread's last resort
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []


@pytest.mark.parametrize("survives", [True, False])
def test_nothing_is_left_open_when_a_loop_ends(server, survives):
    """Users call asyncio.run and never close anything; Python warns of what is left open."""
    keep = []

    async def main() -> None:
        client = Client("m", base_url=server.url)
        await client.aembed(["a"])
        if survives:
            keep.append(client)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(main())
        keep.clear()
        gc.collect()

    assert [str(warning.message) for warning in caught] == []


def test_nothing_is_left_open_when_a_client_is_forgotten(server):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Client("m", base_url=server.url).embed(["a"])
        gc.collect()

    assert [str(warning.message) for warning in caught] == []


async def test_a_forgotten_client_closes_its_connection_while_the_loop_goes_on(server):
    client = Client("m", base_url=server.url)
    await client.aembed(["a"])
    http = await client._inner.line._connections.async_client()
    del client
    gc.collect()
    for _ in range(50):
        if http.is_closed:
            break
        await asyncio.sleep(0.02)

    assert http.is_closed


def test_a_loop_that_was_closed_without_finishing_is_forgotten(server):
    client = Client("m", base_url=server.url)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(client.aembed(["a"]))
    http = client._inner.line._connections._loops._kept[loop].client
    loop.run_until_complete(http.aclose())
    loop.close()

    asyncio.run(client.aclose())
    asyncio.run(_twice(Client("m", base_url=server.url)))
    assert loop.is_closed()


async def _twice(client: Client) -> None:
    await client.aembed(["a"])
    await client.aembed(["a"])


def test_closing_from_outside_closes_what_a_loop_still_holds(server):
    loop = asyncio.new_event_loop()
    client = Client("m", base_url=server.url)
    loop.run_until_complete(client.aembed(["a"]))
    http = client._inner.line._connections._loops._kept[loop].client
    client.close()
    loop.run_until_complete(asyncio.sleep(0.3))
    loop.close()

    assert http.is_closed


def test_given_http_clients_are_used_and_left_open(server):
    seen = []
    with httpx.Client(event_hooks={"request": [seen.append]}) as http:
        with Client("m", base_url=server.url, http_client=http) as client:
            client.embed(["a"])
        assert not http.is_closed
    assert len(seen) == 1


async def test_given_async_http_clients_are_used_and_left_open(server):
    """An ASGI application in this process is such a client: no socket is needed."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server)) as http:
        async with Client("m", base_url="http://127.0.0.1/v1", http_async_client=http) as client:
            assert (await client.aembed(["a"])).shape == (1, 8)
        assert not http.is_closed


def _in_child(client: Client, results: multiprocessing.SimpleQueue) -> None:
    results.put(client.embed(["from the child"]).shape)


def test_a_forked_child_opens_its_own_connection(server):
    client = Client("m", base_url=server.url)
    client.embed(["a"])
    fork = multiprocessing.get_context("fork")
    results = fork.SimpleQueue()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = fork.Process(target=_in_child, args=(client, results))
        child.start()
    child.join(20)

    assert child.exitcode == 0
    assert results.get() == (1, 8)
    client.embed(["b"])
    client.close()
    assert len(server.connections) == 2


CALL = HTTPCall("POST", "http://server/v1/embeddings", {}, b"")


def _dripping(request: httpx.Request) -> httpx.Response:
    def drip():
        while True:
            yield b"x" * 1000

    return httpx.Response(200, content=drip())


def test_a_reply_is_bounded_while_it_is_read():
    with (
        httpx.Client(transport=httpx.MockTransport(_dripping)) as http,
        pytest.raises(BadReply, match="over 5000 bytes"),
    ):
        exchange(http, CALL, headers={}, seconds=5, most=5000)


async def test_a_reply_is_bounded_in_async_too():
    async def drip():
        while True:
            yield b"x" * 1000

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=drip()))
    async with httpx.AsyncClient(transport=transport) as http:
        with pytest.raises(BadReply, match="over 5000 bytes"):
            await exchange_async(http, CALL, headers={}, seconds=5, most=5000)


def test_a_server_that_drips_does_not_hold_us_for_ever():
    with (
        httpx.Client(transport=httpx.MockTransport(_dripping)) as http,
        pytest.raises(UpstreamTimeout, match="did not finish"),
    ):
        exchange(http, CALL, headers={}, seconds=0.05)


def test_a_server_that_stops_in_the_middle_does_not_hold_us():
    """A real socket: headers, half a body, then silence."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def half() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
                done.wait(5)

        done = threading.Event()
        thread = threading.Thread(target=half)
        thread.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        try:
            with (
                Client("m", base_url=address, timeout=0.2, max_retries=0) as client,
                pytest.raises(UpstreamTimeout),
            ):
                client.embed(["a"])
        finally:
            done.set()
            thread.join()
