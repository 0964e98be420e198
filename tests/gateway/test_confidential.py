"""Secrets and texts that are planted everywhere come out nowhere but where they belong."""

from __future__ import annotations

import io
import json
import logging
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from doubles.chat_upstream import ChatUpstream
from doubles.keyed import Keys
from doubles.openai_upstream import OpenAIUpstream
from doubles.rerank_upstream import RerankUpstream
from doubles.serving import free_port, served
from doubles.traced import Traces
from embedway_gateway import log
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.web.app import create_app

TEXT = "planted-text-4711"
TOKEN = "planted-token-4711"
HEADER = "planted-header-4711"
# What the stand-ins say in their errors.
SAID = "secret words"
# The log has it, for whoever looks why it is not found; what is kept for long does not.
NAME = "planted-name-4711"


class World:
    """All that comes out of one gateway, by where."""

    def __init__(self, folder: Path) -> None:
        self.embed, self.chat, self.traces = OpenAIUpstream(), ChatUpstream(), Traces()
        self.keys, self.log, self.bodies = Keys(folder), io.StringIO(), list[str]()
        self.secret = self.keys.make("reader")
        self.admin = self.keys.make("admin", admin=True)
        self.http: httpx.Client
        self.urls: list[str] = []
        self.metrics = ""

    def post(self, path: str, body: Any, *, key: str = "", **headers: str) -> int:
        sent = {
            "authorization": f"Bearer {key or self.secret}",
            "content-type": "application/json",
            "x-planted": HEADER,
            "cookie": f"session={HEADER}",
            **headers,
        }
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        answer = self.http.post(path, content=content, headers=sent)
        # An answer has what was asked for; an error only what is wrong.
        if answer.status_code != 200:
            self.bodies.append(answer.text)
            self.bodies.append(str(answer.headers))
        return answer.status_code


def model(name: str, engine: str, url: str, **facts: Any) -> dict[str, Any]:
    upstream = {"name": f"up-{name}", "engine": engine, "url": url, "credentials": "login"}
    return {"name": name, "upstreams": [upstream], **facts}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    seen = World(tmp_path_factory.mktemp("confidential"))
    loggers = [logging.getLogger(name) for name in ("embedway", "uvicorn.error", "opentelemetry")]
    before = [(one, one.handlers, one.level, one.propagate) for one in loggers]
    root_level = logging.getLogger().level
    with (
        pytest.MonkeyPatch.context() as patch,
        served(seen.embed) as embed,
        served(seen.chat) as chat,
        served(RerankUpstream(tei=True)) as rerank,
    ):
        patch.setattr("sys.stderr", seen.log)
        log.set_up_logging("json")
        # The worst case: whatever any library has to say, too.
        handler = logging.StreamHandler(seen.log)
        # Our own client here is the caller.
        handler.addFilter(lambda record: not record.name.startswith("http"))
        logging.getLogger().addHandler(handler)
        for one in (*loggers, logging.getLogger()):
            one.setLevel(logging.DEBUG)
        seen.urls = [embed, chat, rerank, f"http://127.0.0.1:{free_port()}"]
        config = {
            "server": {"keys": str(seen.keys.path), "max_body_bytes": 5000},
            "credentials": {"login": {"type": "bearer", "token": TOKEN}},
            "models": [
                model("m", "openai", embed, dimensions=8),
                model("away", "openai", seen.urls[3], dimensions=8),
                model("llama", "vllm", chat, capabilities=["chat"]),
                model("ranker", "tei", rerank, capabilities=["rerank"]),
            ],
            "cache": {"type": "memory"},
            "routing": {"retry_wait": "1ms"},
            "usage": {"type": "none"},
        }
        app = create_app(
            Config.model_validate(config), metrics=Metrics(), tracing=seen.traces.tracing
        )
        with served(app) as url, httpx.Client(base_url=url, timeout=30) as seen.http:
            _everything(seen)
            answer = seen.http.get("/metrics", headers={"authorization": f"Bearer {seen.admin}"})
            seen.metrics = answer.text
            _until(lambda: seen.log.getvalue().count('"request"') >= 20)
        logging.getLogger().removeHandler(handler)
    for one, handlers, level, propagate in before:
        one.handlers, one.level, one.propagate = handlers, level, propagate
    logging.getLogger().setLevel(root_level)
    return seen


def _until(holds: Any) -> None:
    end = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def _everything(seen: World) -> None:
    """Each route, well and badly, with every kind of error between."""
    embeddings, chat = "/v1/embeddings", "/v1/chat/completions"
    ask = {"model": "m", "input": [TEXT, f"{TEXT} two"], "user": TEXT}
    _until(lambda: seen.post(embeddings, ask) == 200)
    assert seen.post("/embed", {"inputs": TEXT, "model": "m"}) == 200
    ranked = {"model": "ranker", "query": TEXT, "documents": [TEXT, "other"]}
    assert seen.post("/v1/rerank", ranked) == 200
    talk = {"model": "llama", "messages": [{"role": "user", "content": TEXT}]}
    assert seen.post(chat, talk) == 200
    assert seen.post(chat, {**talk, "stream": True}) == 200
    for fault in (500, 503, 401, 403, 404, 429, 400, 413, "html", "truncated", "nan", "reset"):
        fresh = {**ask, "input": f"{TEXT} {fault}"}
        seen.embed.faults.extend([fault] * 4)
        assert seen.post(embeddings, fresh) >= 400
        seen.embed.faults.clear()
    seen.chat.faults.extend([(500, TEXT.encode())] * 4)
    assert seen.post(chat, talk) >= 400
    seen.chat.faults.clear()
    seen.chat.faults.append("break")
    seen.post(chat, {**talk, "stream": True})
    assert seen.post(embeddings, {"model": "away", "input": TEXT}) >= 500
    assert seen.post(embeddings, {"model": NAME, "input": TEXT}) == 404
    assert seen.post(embeddings, {"model": "m", "input": [TEXT, 7]}) == 400
    assert seen.post(embeddings, f'{{"model": "m", "input": "{TEXT}'.encode()) == 400
    assert seen.post(embeddings, {"model": "m", "input": TEXT * 1000}) == 413
    assert seen.post(embeddings, ask, key=f"sk-{TOKEN}") == 401
    assert seen.post(embeddings, ask, **{"content-type": f"text/{TEXT}"}) == 415
    assert seen.post(embeddings, ask, traceparent=TEXT, tracestate=TEXT, baggage=TEXT) == 200
    assert seen.post(f"{embeddings}?key={TEXT}", ask, **{"x-request-id": f"<{TEXT}>"}) == 200


def planted(seen: World) -> list[str]:
    return [TEXT, TOKEN, HEADER, SAID, seen.secret, seen.admin, *seen.urls]


def test_the_log_has_a_line_a_request_and_nothing_that_was_planted(world: World) -> None:
    text = world.log.getvalue()
    lines = [json.loads(line) for line in text.splitlines() if '"message":"request"' in line]

    written = "\n".join(line for line in text.splitlines() if line.startswith("{"))
    assert {word for word in planted(world) if word in written} == set()
    assert len(lines) >= 20
    whole = {"request_id", "method", "path", "status", "ms", "key", "model", "upstream"}
    ours = [line for line in lines if line["path"] == "/v1/embeddings"]
    done = [line for line in ours if line["status"] == 200]
    assert all(whole | {"texts", "tokens", "trace_id"} <= line.keys() for line in done)
    failed = [line for line in ours if line["status"] in {502, 503} and "error" in line]
    assert all(whole | {"texts"} <= line.keys() for line in failed)
    assert failed


def test_no_library_says_them_even_when_it_may_say_all(world: World) -> None:
    words = {TEXT, TOKEN, HEADER, SAID, world.secret, world.admin}
    found = {word for word in words if word in world.log.getvalue()}

    assert found == set()


@pytest.mark.parametrize("where", ["metrics", "traces", "error bodies"])
def test_nor_do_they_come_out_elsewhere(world: World, where: str) -> None:
    text = {
        "metrics": world.metrics,
        "traces": world.traces.text(),
        "error bodies": "\n".join(world.bodies),
    }[where]

    assert len(text) > 1000
    named = [] if where == "error bodies" else [NAME]
    assert {word for word in [*planted(world), *named] if word in text} == set()
