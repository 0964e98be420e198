"""What a provider refuses, and what LiteLLM makes of it, become our errors: the right ones."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from doubles.cohere_upstream import CohereUpstream, Refusal
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import free_port
from embedway_gateway.hosted.error import AdapterFailed, translate
from embedway_gateway.hosted.library import Library
from embedway_gateway.hosted.service import Account, Hosted, HostedRerank
from embedway_upstream import (
    BadReply,
    BatchTooLarge,
    EmbeddingError,
    EmbeddingRequest,
    InputTooLong,
    InvalidRequest,
    RateLimited,
    RerankRequest,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)

TEXT = "planted text"
REQUEST = EmbeddingRequest("ours", (TEXT, "b"))
RERANK = RerankRequest("ours", TEXT, ("a", "b"))
STATUSES = [
    (400, InvalidRequest),
    (401, UpstreamRefused),
    (403, UpstreamRefused),
    (404, UpstreamRefused),
    (413, BatchTooLarge),
    (422, InvalidRequest),
    (429, RateLimited),
    (500, UpstreamFailed),
    (503, UpstreamFailed),
    (504, UpstreamTimeout),
]


async def failure(sent: Any) -> EmbeddingError:
    with pytest.raises(EmbeddingError) as caught:
        await sent
    return caught.value


@pytest.mark.parametrize(("status", "kind"), STATUSES)
async def test_of_openais_dialect(
    hosted: Any, openai: OpenAIUpstream, status: int, kind: type[EmbeddingError]
) -> None:
    openai.faults.append(status)

    error = await failure(hosted().send(REQUEST))

    assert kind is type(error)
    assert 1 == len(openai.seen), "LiteLLM tried again by itself"
    assert error.detail.endswith(f"(status {status})")


@pytest.mark.parametrize(("status", "kind"), STATUSES)
async def test_of_coheres(
    hosted: Any, cohere: CohereUpstream, status: int, kind: type[EmbeddingError]
) -> None:
    """LiteLLM calls most of them a connection error."""
    cohere.faults.append(Refusal(status))

    error = await failure(hosted("cohere/embed-english-v3.0").send(REQUEST))

    assert kind is type(error)
    assert 1 == len(cohere.seen)


@pytest.mark.parametrize(("status", "kind"), STATUSES)
async def test_of_reranking(
    reranker: Any, cohere: CohereUpstream, status: int, kind: type[EmbeddingError]
) -> None:
    cohere.faults.append(Refusal(status))

    error = await failure(reranker.send(RERANK))

    assert (kind, "up") == (type(error), error.upstream)
    assert 1 == len(cohere.seen)


async def test_how_long_to_wait_is_passed_on(
    hosted: Any, reranker: Any, openai: OpenAIUpstream, cohere: CohereUpstream
) -> None:
    openai.faults.append((429, {"retry-after": "7"}))
    cohere.faults += [Refusal(429, {"retry-after": "8"}), Refusal(429, {"retry-after": "9"})]

    waits = [
        (await failure(sent)).retry_after
        for sent in (
            hosted().send(REQUEST),
            hosted("cohere/embed-english-v3.0").send(REQUEST),
            reranker.send(RERANK),
        )
    ]

    assert [7.0, 8.0, 9.0] == waits


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("too many tokens: a text may have 512", InputTooLong),
        ("total number of texts must be at most 96 - received 97", BatchTooLarge),
        ("This model's maximum context length is 8192 tokens, you asked 9000", InputTooLong),
        ("Requested 400000 tokens, max 300000 tokens per request", BatchTooLarge),
    ],
)
async def test_a_text_or_batch_that_is_too_long(
    hosted: Any, cohere: CohereUpstream, says: str, kind: type[EmbeddingError]
) -> None:
    cohere.faults.append(Refusal(400, says=says))

    error = await failure(hosted("cohere/embed-english-v3.0").send(REQUEST))

    assert kind is type(error)


async def test_no_connection(hosted: Any) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}/v1"

    for model in ("openai/x", "cohere/embed-english-v3.0"):
        error = await failure(hosted(model, nowhere).send(REQUEST))
        assert UpstreamUnreachable is type(error)

    account = Account(name="up", model="cohere/rerank-v3.5", api_key="k", api_base=nowhere)
    error = await failure(HostedRerank(account, Library("up")).send(RERANK))
    assert UpstreamUnreachable is type(error)


@pytest.mark.parametrize("model", ["openai/x", "cohere/embed-english-v3.0"])
async def test_no_answer_in_time(
    hosted: Any, openai: OpenAIUpstream, cohere: CohereUpstream, model: str
) -> None:
    openai.faults.append("hang")
    cohere.faults.append("hang")

    error = await failure(hosted(model, timeout=0.2).send(REQUEST))

    assert UpstreamTimeout is type(error)


async def test_a_provider_that_litellm_does_not_know(hosted: Any) -> None:
    error = await failure(hosted("nobody/x", "http://127.0.0.1:1").send(REQUEST))

    assert UpstreamRefused is type(error)
    assert "check `model:`" in error.message


async def test_a_key_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, openai: OpenAIUpstream, openai_url: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    account = Account(name="up", model="openai/x", api_base=openai_url)

    error = await failure(Hosted(account, Library("up"), dimensions=8).send(REQUEST))

    assert UpstreamRefused is type(error)
    assert "check `credentials:`" in error.message
    assert [] == openai.seen


def test_a_bug_of_litellm_is_no_broken_connection() -> None:
    """`APIConnectionError` is what LiteLLM calls it."""
    error = _wrapped(TypeError("planted text"))

    found = translate(error)

    assert AdapterFailed is type(found)
    assert 1 == found.most_retries


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (ConnectionResetError("x"), UpstreamUnreachable),
        (TimeoutError("x"), UpstreamTimeout),
        (json.JSONDecodeError("x", "", 0), BadReply),
    ],
)
def test_what_litellm_wraps_is_seen(cause: Exception, kind: type[EmbeddingError]) -> None:
    assert kind is type(translate(_wrapped(cause)))


def test_what_we_were_handling_is_no_cause() -> None:
    cause, ours = TypeError("x"), RateLimited("ours")
    cause.__context__, ours.__context__ = ours, ConnectionResetError()

    assert AdapterFailed is type(translate(_wrapped(cause)))


def _wrapped(cause: Exception) -> Exception:
    """As LiteLLM raises it: in the handler of what went wrong."""
    from litellm.exceptions import APIConnectionError

    error = APIConnectionError("x", llm_provider="cohere", model="m")
    error.__context__ = cause
    return error


async def test_nothing_of_the_request_is_said(
    hosted: Any,
    reranker: Any,
    openai: OpenAIUpstream,
    cohere: CohereUpstream,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither on stdout or stderr, nor in the log, nor in the error, however it goes."""
    told = []
    for fault in (None, 401, 500, "html", "nan"):
        openai.faults.append(fault)
        cohere.faults += [Refusal(fault) if isinstance(fault, int) else fault] * 2
        for sent in (
            hosted().send(REQUEST),
            hosted("cohere/embed-english-v3.0").send(REQUEST),
            reranker.send(RERANK),
        ):
            try:
                await sent
            except EmbeddingError as error:
                told.append(f"{error} {error.detail} {error.__cause__!r} {error.__context__!r}")
    logging.getLogger("LiteLLM").error("planted text of LiteLLM")

    out, err = capfd.readouterr()
    assert 11 <= len(told)
    for said in (out, err, caplog.text, *told):
        assert "planted" not in said
        assert "secret words" not in said
