"""What becomes of a request, as spans: whose they are, and what they say."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from doubles.chat_upstream import ChatUpstream
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.proven import prove
from doubles.rerank_upstream import RerankUpstream
from doubles.serving import serving
from doubles.traced import Traces
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STATED = f"00-{TRACE}-{SPAN}-01"


@contextlib.asynccontextmanager
async def gateway(
    app: Any, traces: Traces, *, model: Any = None, login: Any = None, **upstream: Any
) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(app) as url:
        given = {"name": "up", "engine": "openai", "url": url, **upstream}
        given["url"] += given.pop("path_of", "")
        file = {
            "credentials": {"login": login} if login else {},
            "models": [{"name": "m", "dimensions": 8, "upstreams": [given], **(model or {})}],
            "routing": {"retry_wait": "1ms"},
        }
        made = create_app(Config.model_validate(file), tracing=traces.tracing)
        await prove(made)
        transport = httpx.ASGITransport(made)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            yield client
        await made.close()


async def embed(client: httpx.AsyncClient, *texts: str, **headers: str) -> httpx.Response:
    body = {"model": "m", "input": list(texts)}
    return await client.post("/v1/embeddings", json=body, headers=headers)


async def test_a_request_is_in_the_trace_of_its_caller_and_so_is_the_upstreams_call() -> None:
    upstream, traces = OpenAIUpstream(), Traces()
    async with gateway(upstream, traces) as client:
        upstream.seen.clear()
        state = {"traceparent": STATED, "tracestate": "vendor=1", "baggage": "user=1"}
        answer = await embed(client, "two words", **state, **{"x-request-id": "mine"})

    assert answer.status_code == 200
    (root,), (call,) = traces.named("POST /v1/embeddings"), traces.named("embeddings m")
    assert {TRACE} == {format(span.context.trace_id, "032x") for span in (root, call)}
    assert SPAN == format(root.parent.span_id, "016x")
    assert call.parent.span_id == root.context.span_id
    sent = upstream.seen[0].headers
    assert sent["traceparent"] == f"00-{TRACE}-{call.context.span_id:016x}-01"
    assert sent["tracestate"] == "vendor=1"
    assert "baggage" not in sent
    assert dict(root.attributes) == {
        "http.request.method": "POST",
        "http.route": "/v1/embeddings",
        "http.response.status_code": 200,
        "gen_ai.operation.name": "embeddings",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 2,
        "embedway.request_id": "mine",
        "embedway.upstream": "up",
        "embedway.texts": 1,
    }
    assert dict(call.attributes) == {
        "gen_ai.operation.name": "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m",
        "gen_ai.usage.input_tokens": 2,
        "gen_ai.embeddings.dimension.count": 8,
        "server.address": "up",
        "embedway.texts": 1,
    }


@pytest.mark.parametrize(
    "stated",
    [
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        "nonsense",
    ],
)
async def test_a_trace_that_is_not_valid_is_not_taken_over(stated: str) -> None:
    upstream, traces = OpenAIUpstream(), Traces()
    async with gateway(upstream, traces) as client:
        assert (await embed(client, "a", traceparent=stated)).status_code == 200

    (root,) = traces.named("POST /v1/embeddings")
    assert root.parent is None
    assert format(root.context.trace_id, "032x") != TRACE


async def test_who_is_not_sampled_leaves_no_span_and_the_upstream_knows() -> None:
    upstream, traces = OpenAIUpstream(), Traces()
    async with gateway(upstream, traces) as client:
        upstream.seen.clear()
        assert (await embed(client, "a", traceparent=STATED[:-1] + "0")).status_code == 200

    assert [] == traces.spans
    sent = upstream.seen[0].headers["traceparent"]
    assert sent.startswith(f"00-{TRACE}-")
    assert sent.endswith("-00")


async def test_every_attempt_has_a_span_with_what_became_of_it() -> None:
    upstream, traces = OpenAIUpstream(), Traces()
    async with gateway(upstream, traces) as client:
        upstream.faults.append(503)
        assert (await embed(client, "a")).status_code == 200
        upstream.faults.append(400)
        assert (await embed(client, "a")).status_code == 400
        upstream.faults.extend([503] * 3)
        assert (await embed(client, "a")).status_code == 502

    kinds = [span.attributes.get("error.type") for span in traces.named("embeddings m")]
    refused, failed = "invalid_request", "upstream_failed"
    assert kinds[:4] == [failed, None, refused, failed]
    assert set(kinds[4:]) <= {failed}
    roots = traces.named("POST /v1/embeddings")
    assert [200, 400, 502] == [span.attributes["http.response.status_code"] for span in roots]
    # What the caller did wrong is no error of the server.
    assert [None, None, failed] == [span.attributes.get("error.type") for span in roots]
    assert all(not span.events for span in traces.spans)


async def test_requests_that_travel_together_share_a_call_that_is_linked_to_each() -> None:
    upstream, traces = OpenAIUpstream(), Traces()
    async with gateway(upstream, traces, max_concurrency=1) as client:
        upstream.delay = 0.05
        first = asyncio.create_task(embed(client, "first"))
        end = time.monotonic() + 10
        while not upstream.running:
            assert time.monotonic() < end
            await asyncio.sleep(0.001)
        others = [asyncio.create_task(embed(client, f"text {number}")) for number in range(3)]
        assert {200} == {one.status_code for one in await asyncio.gather(first, *others)}

    roots = {span.context.span_id: span for span in traces.named("POST /v1/embeddings")}
    alone, shared = traces.named("embeddings m")
    assert (1, 3) == (alone.attributes["embedway.texts"], shared.attributes["embedway.texts"])
    assert not alone.links
    members = [shared.parent.span_id, *(link.context.span_id for link in shared.links)]
    assert len(set(members)) == 3
    assert set(members) == roots.keys() - {alone.parent.span_id}
    assert shared.context.trace_id == roots[shared.parent.span_id].context.trace_id
    waits = traces.named("queue")
    assert {span.parent.span_id for span in waits} == set(members)
    assert all(0.01 < (span.end_time - span.start_time) / 1e9 < 5 for span in waits)
    for span in waits:
        root = roots[span.parent.span_id]
        assert root.start_time <= span.start_time + 2_000_000
        assert span.end_time <= root.end_time


async def test_reranking_and_chats_have_spans_to_the_end_of_the_stream() -> None:
    ranks, chats = Traces(), Traces()
    model = {"capabilities": ["rerank"], "dimensions": None}
    async with gateway(RerankUpstream(tei=True), ranks, model=model, engine="tei") as client:
        body = {"model": "m", "query": "q", "documents": ["a", "b"]}
        assert (await client.post("/v1/rerank", json=body)).status_code == 200
    model = {"capabilities": ["chat"], "dimensions": None}
    async with gateway(ChatUpstream(), chats, model=model, engine="vllm") as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
        assert (await client.post("/v1/chat/completions", json=body)).status_code == 200

    assert ["rerank m", "POST /v1/rerank"] == [span.name for span in ranks.spans]
    assert ["chat m", "POST /v1/chat/completions"] == [span.name for span in chats.spans]
    call, root = chats.spans
    assert 6 == root.attributes["embedway.tokens"]
    assert "gen_ai.usage.input_tokens" not in root.attributes
    assert root.start_time <= call.start_time < call.end_time <= root.end_time


@pytest.mark.parametrize("told", [False, True])
async def test_on_oci_the_trace_is_told_only_where_asked_and_never_signed(told: bool) -> None:
    oci = OCIPlatform(OpenAIUpstream(), {KEY_ID: private_key().public_key()})
    traces = Traces("oci") if told else Traces()
    login = {"tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT, "type": "oci"}
    login["key_content"] = pem(private_key()).decode()
    place = {"path_of": "/ocid1.datasciencemodeldeployment.oc1.iad.x", "invoke": "suffix"}
    place |= {"platform": "oci", "credentials": "login"}
    async with gateway(oci, traces, login=login, **place) as client:
        oci.seen.clear()
        assert (await embed(client, "a", traceparent=STATED)).status_code == 200

    (sent,) = oci.seen
    assert {"ok"} == oci.verdicts.keys()
    assert told == sent.get("traceparent", "").startswith(f"00-{TRACE}-")
    assert "traceparent" not in sent["authorization"]
    assert 1 == len(traces.named("embeddings m"))
