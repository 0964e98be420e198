"""Limits as clients meet them: 429 with what to do, and OpenAI's headers."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from doubles.team import TEXTS, Team, team

# A key each.
LIMITS: dict[str, dict[str, int]] = {
    "requests": {"rpm": 3},
    "patient": {"rpm": 60},
    "texts": {"texts_per_minute": 5},
    "tokens": {"tpm": 60},
    "seats": {"max_concurrency": 1},
    "all": {"rpm": 100, "tpm": 100_000, "texts_per_minute": 1000, "max_concurrency": 4},
    "refunds": {"tpm": 60, "texts_per_minute": 10},
    "absurd": {"tpm": 60},
    "free": {},
}


World = tuple[Team, dict[str, str]]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with team(tmp_path_factory.mktemp("limits"), LIMITS) as one:
        yield one, one.secrets


@pytest.fixture
def one(world: World) -> Team:
    world[0].embed.reset()
    world[0].chat.reset()
    return world[0]


def test_one_request_too_many_is_told_when_to_come_back(one: Team, world: World) -> None:
    with one.client(world[1]["requests"]) as client:
        for _ in range(3):
            client.embeddings.create(model="m", input=TEXTS)
        with pytest.raises(openai.RateLimitError) as caught:
            client.embeddings.create(model="m", input=TEXTS)
    answer = caught.value.response

    assert caught.value.code == "rate_limit_exceeded"
    assert 15 < int(answer.headers["retry-after"]) <= 20
    assert answer.headers["x-should-retry"] == "true"
    assert answer.headers["x-ratelimit-limit-requests"] == "3"
    assert answer.headers["x-ratelimit-remaining-requests"] == "0"
    assert re.fullmatch(r"5\d(\.\d+)?s|1m0s", answer.headers["x-ratelimit-reset-requests"])
    assert "3 requests a minute" in answer.text


def test_the_openai_client_waits_and_succeeds(one: Team, world: World) -> None:
    with one.client(world[1]["patient"], retries=3) as client:
        for _ in range(62):
            client.embeddings.create(model="m", input="x")
    assert one.counted("key_requests_total", key="patient", outcome="ok") == 62


def test_headers_count_down(one: Team, world: World) -> None:
    left = []
    with one.client(world[1]["all"]) as client:
        for _ in range(2):
            raw = client.embeddings.with_raw_response.create(model="m", input=["a", "b"])
            names = ("requests", "texts", "tokens")
            left.append([int(raw.headers[f"x-ratelimit-remaining-{name}"]) for name in names])
            limits = [raw.headers[f"x-ratelimit-limit-{name}"] for name in names]
            assert limits == ["100", "1000", "100000"]

    assert left[0][0] == 99
    assert left[0][1] == 998
    assert all(later <= earlier for later, earlier in zip(left[1], left[0], strict=True))
    assert left[1][0] == 98


def test_a_key_without_limits_is_told_of_none(one: Team, world: World) -> None:
    with one.client(world[1]["free"]) as client:
        raw = client.embeddings.with_raw_response.create(model="m", input="x")
    assert not [name for name in raw.headers if "ratelimit" in name]


def test_texts_are_counted_exactly(one: Team, world: World) -> None:
    with one.http(world[1]["texts"]) as http:
        too_large = http.post("/v1/embeddings", json={"model": "m", "input": ["x"] * 6})
        first = http.post("/v1/embeddings", json={"model": "m", "input": ["x"] * 4})
        second = http.post("/v1/embeddings", json={"model": "m", "input": ["x"] * 4})
        # In TEI's form, where its clients are.
        third = http.post("/embed", json={"model": "m", "inputs": ["x"] * 4})

    assert too_large.status_code == 429
    assert too_large.headers["x-should-retry"] == "false"
    assert "too large" in too_large.text
    assert first.status_code == 200
    assert second.status_code == 429
    assert third.status_code == 429
    assert third.json()["error_type"] == "Overloaded"


def test_tokens_are_corrected_by_what_the_upstream_counted(one: Team, world: World) -> None:
    """One word a token here, of one letter: three times as many as the bytes let guess."""
    body = {"model": "m", "input": "w " * 50}
    with one.http(world[1]["tokens"]) as http:
        first = http.post("/v1/embeddings", json=body)
        used = first.json()["usage"]["total_tokens"]
        assert int(first.headers["x-ratelimit-remaining-tokens"]) > 60 - used
        second = http.post("/v1/embeddings", json=body)

    assert second.status_code == 429
    # By what was counted, not what was guessed.
    assert int(second.headers["x-ratelimit-remaining-tokens"]) <= max(0, 60 - used + 5)


def test_an_upstream_that_counts_beyond_reason_locks_nobody_out_and_spoils_no_sum(
    one: Team, world: World
) -> None:
    one.embed.faults.append("huge usage")
    with one.http(world[1]["absurd"]) as http:
        for _ in range(2):
            answer = http.post("/v1/embeddings", json={"model": "m", "input": ["a"]})
            assert answer.status_code == 200
    with one.http(one.admin) as http:
        usage = http.get("/admin/usage", params={"key": "absurd"})

    assert usage.status_code == 200
    assert [row["requests"] for row in usage.json()["data"]] == [2]
    assert usage.json()["data"][0]["tokens"] < 60


def test_what_fails_costs_no_texts_and_no_tokens(one: Team, world: World) -> None:
    body = {"model": "m", "input": ["planted text number"] * 8}
    with one.http(world[1]["refunds"]) as http:
        for _ in range(3):
            one.embed.faults.extend([400] * 30)
            assert http.post("/v1/embeddings", json=body).status_code >= 400
            one.embed.reset()
        assert http.post("/v1/embeddings", json=body).status_code == 200
        assert http.post("/v1/embeddings", json=body).status_code == 429


def test_a_stream_keeps_its_seat_to_the_end(one: Team, world: World) -> None:
    one.chat.held = True
    with one.client(world[1]["seats"]) as client, one.http(world[1]["seats"]) as http:
        one.chat.release()
        stream = client.chat.completions.create(model="llama", messages=[], stream=True)
        next(iter(stream))
        refused = http.post("/v1/embeddings", json={"model": "m", "input": "x"})
        assert refused.status_code == 429
        assert "1 requests under way" in refused.text
        assert refused.headers["retry-after"] == "1"
        for _ in range(6):
            one.chat.release()
        list(stream)

        def free() -> bool:
            answer = http.post("/v1/embeddings", json={"model": "m", "input": "x"})
            return answer.status_code == 200

        one.wait(free)


def test_whoever_hangs_up_leaves_its_seat(one: Team, world: World) -> None:
    one.chat.held = True
    with one.client(world[1]["seats"]) as client, one.http(world[1]["seats"]) as http:
        one.chat.release()
        stream = client.chat.completions.create(model="llama", messages=[], stream=True)
        next(iter(stream))
        stream.close()
        one.wait(
            lambda: (
                http.post("/v1/embeddings", json={"model": "m", "input": "x"}).status_code == 200
            )
        )


def test_a_model_has_limits_of_its_own_for_all_keys_together(tmp_path: Path) -> None:
    limits = {"rpm": 5, "max_concurrency": 2}
    with team(tmp_path, {"one": {}, "two": {}}, model_limits=limits) as one:
        secrets = list(one.secrets.values())
        statuses = []
        for turn in range(8):
            with one.http(secrets[turn % 2]) as http:
                answer = http.post("/v1/embeddings", json={"model": "m", "input": "x"})
                statuses.append(answer.status_code)
                other = http.post("/v1/embeddings", json={"model": "other", "input": "x"})
                assert other.status_code == 200

        assert statuses == [200] * 5 + [429] * 3
        assert "this model may use 5 requests" in answer.text.lower()


def test_seats_hold_under_many_threads(tmp_path: Path) -> None:
    with team(tmp_path, {"app": {"max_concurrency": 3}}) as one:
        secret = one.secrets["app"]
        one.embed.delay = 0.05
        statuses: list[int] = []

        def ask(number: int) -> None:
            with one.http(secret) as http:
                for turn in range(5):
                    body = {"model": "m", "input": f"{number} {turn}"}
                    statuses.append(http.post("/v1/embeddings", json=body).status_code)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

        assert set(statuses) <= {200, 429}
        assert len(statuses) == 60
        assert one.embed.most_running <= 3
        one.embed.delay = 0.0
        begun = time.monotonic()
        with one.client(secret) as client:
            client.embeddings.create(model="m", input="all seats are free again")
        assert time.monotonic() - begun < 10
