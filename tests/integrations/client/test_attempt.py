"""When a request is tried again, over the wire and by hand. Nothing here waits."""

from __future__ import annotations

import email.utils
import time

import pytest

from embedway_client import Client
from embedway_client.attempt import Wait, attempts
from embedway_client.settings import Settings
from embedway_upstream import (
    BadReply,
    EmbeddingRequest,
    HTTPCall,
    HTTPReply,
    InvalidRequest,
    RateLimited,
    UpstreamFailed,
    UpstreamUnreachable,
)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_tries_again_what_may_pass(server, ask, sleeper, status):
    server.error(status)
    server.error(status)
    with Client("m", base_url=server.url, pace=sleeper.pace) as client:
        assert ask(client, ["a"]).vectors.shape == (1, 8)

    assert server.requests == 3
    assert sleeper.slept == [0.5, 1.0]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422])
def test_does_not_repeat_what_cannot_pass(server, ask, sleeper, status):
    server.error(status)
    with (
        Client("m", base_url=server.url, pace=sleeper.pace) as client,
        pytest.raises(Exception, match="No"),
    ):
        ask(client, ["a"])

    assert server.requests == 1


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_max_retries_counts_the_tries_after_the_first(server, ask, sleeper, retries):
    """Neighbours make 2 requests of `max_retries=2`, and 3 of `max_retries=0`."""
    for _ in range(9):
        server.error(500)
    with (
        Client("m", base_url=server.url, max_retries=retries, pace=sleeper.pace) as client,
        pytest.raises(UpstreamFailed),
    ):
        ask(client, ["a"])

    assert server.requests == 1 + retries


def test_tries_again_when_nobody_listens_and_says_the_last_error(nowhere, ask, sleeper):
    with (
        Client("m", base_url=nowhere, max_retries=3, pace=sleeper.pace) as client,
        pytest.raises(UpstreamUnreachable),
    ):
        ask(client, ["a"])

    assert sleeper.slept == [0.5, 1.0, 2.0]


def test_tries_again_after_a_timeout_and_a_broken_reply(server, ask, sleeper):
    server.vectors.faults.extend(["dropped", "hang", "reset"])
    with Client("m", base_url=server.url, timeout=0.2, max_retries=3, pace=sleeper.pace) as client:
        assert ask(client, ["a", "b"]).vectors.shape == (2, 8)

    assert server.requests == 4


def test_waits_as_long_as_the_server_asks(server, ask, sleeper):
    server.error(429, headers={"retry-after": "7"})
    server.error(503, headers={"retry-after": "0"})
    with Client("m", base_url=server.url, pace=sleeper.pace) as client:
        ask(client, ["a"])

    assert sleeper.slept == [7.0, 0.0]


def test_retry_after_may_be_a_date(server, ask, sleeper):
    server.error(
        429, headers={"retry-after": email.utils.formatdate(time.time() + 30, usegmt=True)}
    )
    with Client("m", base_url=server.url, pace=sleeper.pace) as client:
        ask(client, ["a"])

    assert 25 < sleeper.slept[0] <= 30


def test_a_pause_of_over_a_minute_is_left_to_the_caller(server, ask, sleeper):
    server.error(429, headers={"retry-after": "3600"})
    with (
        Client("m", base_url=server.url, pace=sleeper.pace) as client,
        pytest.raises(RateLimited) as caught,
    ):
        ask(client, ["a"])

    assert caught.value.retry_after == 3600
    assert sleeper.slept == []


def test_the_server_may_forbid_another_try(server, ask, sleeper):
    server.error(503, headers={"x-should-retry": "false"})
    with (
        Client("m", base_url=server.url, pace=sleeper.pace) as client,
        pytest.raises(UpstreamFailed),
    ):
        ask(client, ["a"])

    assert server.requests == 1


def test_the_server_may_ask_for_another_try(server, ask, sleeper):
    server.error(409, headers={"x-should-retry": "true"})
    with Client("m", base_url=server.url, pace=sleeper.pace) as client:
        ask(client, ["a"])

    assert server.requests == 2


def test_only_the_piece_that_failed_is_sent_again(server, ask, sleeper):
    server.error(500)
    with Client("m", base_url=server.url, batch_size=2, pace=sleeper.pace) as client:
        ask(client, ["a", "b", "c", "d", "e", "f"])

    assert server.requests == 4
    assert len(server.bodies) == 3


class TestByHand:
    """The conversation alone: what it asks for, step by step."""

    def conversation(self, retries=2, jitter=lambda: 0.5):
        settings = Settings(
            model="m",
            base_url="http://127.0.0.1/v1",
            api_key=None,
            dimensions=None,
            batch_size=1,
            timeout=1,
            max_retries=retries,
            fallback=None,
            vector_space=None,
            headers={},
            insecure=False,
            accept_space_change=False,
        )
        request = EmbeddingRequest("m", ("a",))
        return attempts(settings.endpoint(), request, retries=retries, jitter=jitter)

    def test_waits_double_with_full_jitter_up_to_eight_seconds(self):
        steps = self.conversation(retries=7)
        waits = []
        next(steps)
        for _ in range(7):
            step = steps.throw(UpstreamUnreachable("gone"))
            assert isinstance(step, Wait)
            waits.append(step.seconds)
            assert isinstance(next(steps), HTTPCall)

        assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
        with pytest.raises(UpstreamUnreachable, match="gone"):
            steps.throw(UpstreamUnreachable("gone"))

    def test_ends_with_the_answer(self):
        steps = self.conversation()
        call = next(steps)
        assert call.url == "http://127.0.0.1/v1/embeddings"
        with pytest.raises(StopIteration) as stop:
            steps.send(HTTPReply(200, {"x": "y"}, b'{"data":[{"index":0,"embedding":[1,0]}]}'))

        assert stop.value.value.response.vectors.tolist() == [[1, 0]]
        assert stop.value.value.headers == {"x": "y"}

    def test_the_request_id_is_part_of_every_error(self):
        for status, body, kind in [(400, b"", InvalidRequest), (200, b"{}", BadReply)]:
            steps = self.conversation(retries=0)
            next(steps)
            with pytest.raises(kind, match=r"\(request id req-42\)"):
                steps.send(HTTPReply(status, {"x-request-id": "req-42"}, body))

    def test_a_request_id_with_escapes_is_left_out(self):
        steps = self.conversation(retries=0)
        next(steps)
        with pytest.raises(InvalidRequest) as caught:
            steps.send(HTTPReply(400, {"x-request-id": "\x1b[2J"}, b""))

        assert "\x1b" not in str(caught.value)
