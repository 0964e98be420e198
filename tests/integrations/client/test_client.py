"""Client against a server on loopback: what is sent, what comes back, and in which order."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest

from embedway_client import Client
from embedway_upstream import BadReply, UpstreamFailed, UpstreamTimeout, UpstreamUnreachable, Usage
from embedway_upstream.testing import fake_vectors


def test_vectors_are_float32_and_in_the_order_of_the_texts(server, ask):
    server.vectors.faults.append("shuffled")
    with Client("m", base_url=server.url) as client:
        result = ask(client, ["one", "two words", "three"])

    assert result.vectors.dtype == np.float32
    np.testing.assert_array_equal(result.vectors, fake_vectors(["one", "two words", "three"], 8))
    assert result.usage == Usage(4, 4)
    assert not result.fallback


def test_asks_for_base64_and_says_what_the_texts_are(server, ask):
    with Client("m", base_url=server.url, dimensions=8) as client:
        ask(client, ["a"])
        ask(client, ["b"], input_type="query")

    wire = {"model": "m", "encoding_format": "base64", "dimensions": 8}
    assert server.bodies == [
        {**wire, "input": ["a"], "input_type": "document"},
        {**wire, "input": ["b"], "input_type": "query"},
    ]
    assert server.asked[0][0] == "/v1/embeddings"


def test_floats_are_understood_too(server, ask):
    server.vectors.faults.append("floats")
    with Client("m", base_url=server.url) as client:
        result = ask(client, ["a", "b"])

    np.testing.assert_array_equal(result.vectors, fake_vectors(["a", "b"], 8))


def test_texts_are_cut_into_requests_and_put_together_again(server, ask):
    texts = [f"text {number}" for number in range(23)]
    with Client("m", base_url=server.url, batch_size=5) as client:
        result = ask(client, texts)

    assert sorted(len(body["input"]) for body in server.bodies) == [3, 5, 5, 5, 5]
    np.testing.assert_array_equal(result.vectors, fake_vectors(texts, 8))
    assert result.usage == Usage(46, 46)


def test_large_texts_are_cut_by_bytes_as_well(server, ask):
    texts = ["x" * 1_500_000, "y" * 1_500_000, "z" * 1_500_000]
    with Client("m", base_url=server.url) as client:
        ask(client, texts)

    assert sorted(len(body["input"]) for body in server.bodies) == [1, 2]


async def test_async_runs_at_most_four_requests_at_once(server):
    server.vectors.delay = 0.05
    async with Client("m", base_url=server.url, batch_size=1) as client:
        await client.aembed([str(number) for number in range(10)])

    assert server.vectors.most_running == 4


def test_sync_runs_one_request_at_a_time(server):
    server.vectors.delay = 0.01
    with Client("m", base_url=server.url, batch_size=1) as client:
        client.embed(["a", "b", "c"])

    assert server.vectors.most_running == 1


async def test_the_first_error_cancels_the_others_and_comes_bare(server):
    server.error(400, message="first")
    server.vectors.delay = 30
    async with Client("m", base_url=server.url, batch_size=1) as client:
        started = asyncio.get_running_loop().time()
        with pytest.raises(Exception, match="first") as caught:
            await client.aembed([str(number) for number in range(8)])

    assert not isinstance(caught.value, ExceptionGroup)
    assert asyncio.get_running_loop().time() - started < 5
    # The four that were in work; no fifth took the place of the one that failed.
    assert server.requests <= 4


async def test_cancelling_a_call_cancels_its_requests(server):
    server.vectors.delay = 30
    async with Client("m", base_url=server.url, batch_size=1) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.aembed(["a", "b"])
        server.vectors.delay = 0
        assert (await client.aembed(["a"])).shape == (1, 8)


@pytest.mark.parametrize(
    "fault",
    [
        *("dropped", "duplicated", "extra", "unnumbered", "nan", "zeros", "null", "ragged"),
        *("bad base64", "odd bytes", "html", "truncated"),
    ],
)
def test_a_reply_that_cannot_be_right_is_refused(server, ask, fault):
    server.vectors.faults.append(fault)
    with Client("m", base_url=server.url, max_retries=0) as client, pytest.raises(BadReply):
        ask(client, ["a", "b", "c"])


def test_vectors_of_another_size_than_asked_for_are_refused(server, ask):
    with (
        Client("m", base_url=server.url, dimensions=4, max_retries=0) as client,
        pytest.raises(BadReply, match="8 dimensions"),
    ):
        ask(client, ["a"])


def test_a_server_that_hangs_is_given_up(server, ask):
    server.vectors.faults.append("hang")
    with (
        Client("m", base_url=server.url, timeout=0.2, max_retries=0) as client,
        pytest.raises(UpstreamTimeout, match=r"did not answer within 0\.2 s"),
    ):
        ask(client, ["a"])


def test_a_connection_that_breaks_in_the_middle_of_a_reply_is_said_so(server, ask):
    server.vectors.faults.append("reset")
    with (
        Client("m", base_url=server.url, max_retries=0) as client,
        pytest.raises(UpstreamUnreachable, match="broke"),
    ):
        ask(client, ["a"])


def test_a_server_that_is_not_there_is_named(nowhere, ask):
    with (
        Client("m", base_url=nowhere, max_retries=0) as client,
        pytest.raises(UpstreamUnreachable, match=r"cannot connect to http://127\.0\.0\.1:\d+ \("),
    ):
        ask(client, ["a"])


def test_redirects_are_not_followed(server, ask):
    server.raw(307, b"", {"location": server.url + "/elsewhere"})
    with (
        Client("m", base_url=server.url, api_key="k") as client,
        pytest.raises(Exception, match="redirects are not followed"),
    ):
        ask(client, ["a"])

    assert server.requests == 1


def test_no_texts_need_no_request(server, ask):
    with (
        Client("m", base_url=server.url) as any_size,
        Client("m", base_url=server.url, dimensions=3) as three,
    ):
        assert ask(any_size, []).vectors.shape == (0, 0)
        assert ask(three, ()).vectors.shape == (0, 3)
        assert ask(three, []).vectors.dtype == np.float32

    assert server.requests == 0


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        ("one string", TypeError, "give a list of strings"),
        (b"bytes", TypeError, "give a list of strings"),
        (["fine", None], TypeError, r"texts\[1\] is NoneType"),
        ([["nested"]], TypeError, r"texts\[0\] is list"),
        ([[101, 102]], TypeError, r"texts\[0\] is list"),
        (["fine", "secret \ud800"], ValueError, r"texts\[1\] has a lone surrogate at position 7"),
    ],
)
def test_what_is_not_text_is_refused_before_it_is_sent(server, ask, texts, error, message):
    with Client("m", base_url=server.url) as client, pytest.raises(error, match=message) as caught:
        ask(client, texts)

    assert "secret" not in str(caught.value)
    assert server.requests == 0


def test_any_unicode_arrives_whole(server, ask):
    texts = ["", " ", "\x00", "日本語", "👩‍👩‍👧‍👦", "a\u2028b", '"\\/\n', np.str_("numpy's")]
    with Client("m", base_url=server.url) as client:
        result = ask(client, texts)

    assert server.bodies[0]["input"] == texts
    np.testing.assert_array_equal(result.vectors, fake_vectors(texts, 8))


def test_an_unknown_input_type_is_refused(server, ask):
    with Client("m", base_url=server.url) as client, pytest.raises(ValueError, match="passage"):
        ask(client, ["a"], input_type="passage")


def test_a_closed_client_says_so(server, ask):
    client = Client("m", base_url=server.url)
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        ask(client, ["a"])


def test_key_and_headers_are_sent(server, ask):
    with Client("m", base_url=server.url, api_key="k3y", headers={"X-Team": "search"}) as client:
        ask(client, ["a"])

    headers = server.asked[0][1]
    assert headers["authorization"] == "Bearer k3y"
    assert headers["x-team"] == "search"
    assert headers["accept-encoding"] == "identity"


def test_headers_are_sent_every_time(server, ask):
    """The nearest neighbour sends a custom header with the first call only."""
    with Client("m", base_url=server.url, headers={"route": "/v1/embeddings"}) as client:
        ask(client, ["a"])
        ask(client, ["b"])

    assert [headers["route"] for _, headers in server.asked] == ["/v1/embeddings"] * 2


def test_an_authorization_header_replaces_the_key(server, ask, monkeypatch):
    monkeypatch.setenv("EMBEDWAY_API_KEY", "of-the-environment")
    with Client("m", base_url=server.url, headers={"Authorization": "Basic abc"}) as client:
        ask(client, ["a"])

    assert server.asked[0][1]["authorization"] == "Basic abc"


def test_without_a_key_nothing_is_sent(server, ask):
    with Client("m", base_url=server.url) as client:
        ask(client, ["a"])

    assert "authorization" not in server.asked[0][1]


def test_one_client_serves_many_threads(server):
    wrong: list[int] = []

    def work(number: int) -> None:
        texts = [f"{number} {item}" for item in range(7)]
        expected = fake_vectors(texts, 8)
        wrong.extend(number for _ in range(5) if (client.embed(texts) != expected).any())

    with Client("m", base_url=server.url, batch_size=3) as client:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert wrong == []
    assert server.requests == 8 * 5 * 3


def test_usage_that_is_not_told_counts_as_nothing(server, ask):
    server.raw(200, b'{"data":[{"index":0,"embedding":[1.0,2.0]}]}')
    with Client("m", base_url=server.url) as client:
        assert ask(client, ["a"]).usage == Usage(0, 0)


def test_the_gateways_own_fallback_is_reported(server, ask):
    server.headers["x-embedway-fallback"] = "local"
    with Client("m", base_url=server.url) as client:
        assert ask(client, ["a"]).fallback


def test_a_server_that_fails_for_good_is_reported_in_its_words(server, ask, sleeper):
    for _ in range(3):
        server.error(503, message="No upstream is up.", headers={"x-request-id": "r-1"})
    with (
        Client("m", base_url=server.url, pace=sleeper.pace) as client,
        pytest.raises(UpstreamFailed, match=r"No upstream is up\. \(request id r-1\)"),
    ):
        ask(client, ["a"])
