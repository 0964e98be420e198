"""What is refused before it is a request has an id and a line in the log, like any other."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from doubles.openai_upstream import OpenAIUpstream
from doubles.raw import Wire
from doubles.serving import serving
from embedway_gateway.config.schema import Config
from embedway_gateway.log import report, set_up_logging
from embedway_gateway.web.app import create_app

BODY = b'{"model":"short","input":"a"}'
HEAD = b"POST /v1/embeddings HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n"


@pytest.fixture(autouse=True)
def logging_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("embedway", "uvicorn.error", "opentelemetry"):
        logger = logging.getLogger(name)
        for attribute in ("handlers", "level", "propagate"):
            monkeypatch.setattr(logger, attribute, getattr(logger, attribute))


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"nonsense\r\n\r\n", "not_http"),
        (HEAD + b"x: y\r\n" * 200 + b"\r\n", "headers_too_large"),
    ],
)
async def test_a_refusal_is_found_in_the_log_by_its_id(
    config: Config, capsys: pytest.CaptureFixture[str], said: bytes, code: str
) -> None:
    set_up_logging("json")
    async with serving(create_app(config)) as url:
        [(status, headers, body)] = await Wire(url).say(said)

    assert code == json.loads(body)["error"]["code"]
    output = capsys.readouterr()
    lines = [
        json.loads(line) for line in (output.out + output.err).splitlines() if "refused" in line
    ]
    assert [(headers["x-request-id"], status, code)] == [
        (line["request_id"], line["status"], line["refused"]) for line in lines
    ]


@pytest.mark.parametrize("zeros", [1, 4995, 30_000])
async def test_a_length_may_begin_with_zeros(
    config: Config, upstream: OpenAIUpstream, zeros: int
) -> None:
    length = b"content-length: " + b"0" * zeros
    async with serving(create_app(config)) as url:
        [(status, _, _)] = await Wire(url).say(HEAD + length + b"%d\r\n\r\n" % len(BODY) + BODY)
        [(over, _, _)] = await Wire(url).say(HEAD + length + b"9" * 15 + b"\r\n\r\n")
    assert 200 == status
    assert 413 == over


@pytest.mark.parametrize("path", [b"/metrics/", b"/healthz/", b"/v1/models/"])
async def test_a_path_that_is_not_there_leads_nowhere(config: Config, path: bytes) -> None:
    """A redirect would name the host that the request came with, and http."""
    async with serving(create_app(config)) as url:
        [(status, headers, body)] = await Wire(url).say(
            b"GET " + path + b" HTTP/1.1\r\nhost: localhost\r\n\r\n"
        )
    assert 404 == status
    assert "location" not in headers
    assert "error" in json.loads(body)


async def test_without_a_log_requests_are_answered(
    config: Config, upstream: OpenAIUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when whoever reads it has died."""
    gone = io.StringIO()
    monkeypatch.setattr(sys, "stderr", gone)
    set_up_logging("json")
    gone.close()
    async with serving(create_app(config)) as url:
        logging.getLogger("embedway.gateway").warning("nobody reads this")
        assert 200 == (await Wire(url).post(BODY))[0]
    report({"status": 200})
