"""Asks a gateway for vectors as fast as it answers, and looks whether they are the right ones."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import math
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import numpy as np
import uvloop
from upstream import vectors, which

# Every text is sent once: requests for the same text at the same time would be one call upstream.
# What wrk found it tells in a line of JSON.
_SCRIPT = """
local sent = 0
local body = %s
local function another()
  sent = sent + 1
  return string.format("text %%09d", sent)
end
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = %s
request = function()
  return wrk.format(nil, nil, nil, (body:gsub("text %%d+", another)))
end
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'FOUND {"requests":%%d,"us":%%d,"bytes":%%d,"bad":%%d,"p50":%%d,"p99":%%d}\\n',
    summary.requests, summary.duration, summary.bytes,
    e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
_SIZE_MAY_DIFFER = 0.05


class WrongAnswer(Exception):
    """What was measured would not have been what was asked for."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request for vectors; None as encoding leaves it out, which means floats."""

    texts: tuple[str, ...]
    dimensions: int
    encoding: str | None = None
    key: str | None = None
    """Of the gateway."""

    def body(self) -> bytes:
        fields: dict[str, object] = {"model": "m", "input": self.texts}
        if self.encoding:
            fields["encoding_format"] = self.encoding
        return json.dumps(fields).encode()

    def bytes_to(self, url: str) -> bytes:
        """The whole request, for a connection that stays open."""
        parts, body = urlsplit(url), self.body()
        return (
            f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body


def texts(count: int) -> tuple[str, ...]:
    """As many, each another."""
    return tuple(f"text {number:09} of those that are embedded here" for number in range(count))


@dataclass(frozen=True, slots=True)
class Sample:
    """An answer that was looked at."""

    size: int
    headers: dict[str, str]


def sample(url: str, ask: Ask) -> Sample:
    """One answer; `WrongAnswer` unless its vectors are those of the texts, in their order."""
    headers = {"content-type": "application/json"}
    if ask.key:
        headers["authorization"] = f"Bearer {ask.key}"
    with urllib.request.urlopen(urllib.request.Request(url, ask.body(), headers)) as answer:
        body, told = answer.read(), answer.headers
    items = json.loads(body)["data"]
    expected = vectors(ask.dimensions)[[which(text) for text in ask.texts]]
    if len(items) != len(ask.texts):
        raise WrongAnswer(f"{url}: {len(items)} vectors for {len(ask.texts)} texts")
    for index, item in enumerate(items):
        found = item["embedding"]
        if isinstance(found, str):
            found = np.frombuffer(base64.b64decode(found), "<f4")
        if item["index"] != index or not np.array_equal(np.float32(found), expected[index]):
            raise WrongAnswer(f"{url}: not the vector of text {index}")
    # The line of the status and each header's colon, blank and line break.
    head = 19 + sum(len(name) + len(value) + 4 for name, value in told.items())
    return Sample(head + len(body), {name.lower(): value for name, value in told.items()})


@dataclass(frozen=True, slots=True)
class Load:
    """Answers per second, and milliseconds."""

    rate: float
    p50: float
    p99: float
    requests: int


def wrk(url: str, ask: Ask, *, connections: int, seconds: float) -> Load:
    """
    What wrk finds. Raises `WrongAnswer` when any answer was an error, or when the mean size is not
    that of an answer which was looked at: an error page must not count as fast.
    """
    seen = sample(url, ask)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        key = f'"Bearer {ask.key}"' if ask.key else "nil"
        script.write(_SCRIPT % (f"[==[{ask.body().decode()}]==]", key))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--timeout", "60s"]
        command += ["-s", script.name, url]
        said = subprocess.check_output(command, text=True)
    found = json.loads(said.partition("FOUND ")[2].partition("\n")[0])
    requests = max(1, found["requests"])
    size = found["bytes"] / requests
    if found["bad"] or abs(size / seen.size - 1) > _SIZE_MAY_DIFFER:
        raise WrongAnswer(f"{url}: {found['bad']} errors, {size:.0f} bytes of {seen.size}")
    rate = found["requests"] / found["us"] * 1e6
    return Load(rate, found["p50"] / 1e3, found["p99"] / 1e3, found["requests"])


@dataclass(frozen=True, slots=True)
class Answer:
    """`at` and `seconds` are of the clock of `time.perf_counter`; status 0 is none at all."""

    at: float
    seconds: float
    status: int


class _Line(asyncio.Protocol):
    """One connection; `ask` waits for the whole answer, whose length its head must tell."""

    def __init__(self) -> None:
        self._got = bytearray()
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def ask(self, request: bytes) -> asyncio.Future[int]:
        self._got.clear()
        self._answer = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._got += data
        head = self._got.find(b"\r\n\r\n")
        if head < 0 or self._answer is None or self._answer.done():
            return
        length = self._got[:head].lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if len(self._got) - head - 4 >= int(length):
            self._answer.set_result(int(self._got[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(0)


def call(
    url: str, next_request: Callable[[], bytes | None], *, callers: int, seconds: float = math.inf
) -> list[Answer]:
    """
    What callers are answered who each send the next request when they have their answer, until
    the time is over or there is none (None).
    """
    return uvloop.run(_call(url, next_request, callers, seconds))


async def _call(
    url: str, next_request: Callable[[], bytes | None], callers: int, seconds: float
) -> list[Answer]:
    place = urlsplit(url).hostname or "", urlsplit(url).port or 80
    loop, answers = asyncio.get_running_loop(), list[Answer]()
    end = time.perf_counter() + seconds

    async def caller() -> None:
        line: _Line | None = None
        while time.perf_counter() < end and (request := next_request()) is not None:
            if line is None or line.transport.is_closing():
                _, line = await loop.create_connection(_Line, *place)
            begun = time.perf_counter()
            status = await line.ask(request)
            answers.append(Answer(begun, time.perf_counter() - begun, status))

    await asyncio.gather(*(caller() for _ in range(callers)))
    return answers


def repeated(request: bytes, times: int | None = None) -> Callable[[], bytes | None]:
    """The same request, for ever or so many times."""
    source = itertools.repeat(request) if times is None else itertools.repeat(request, times)
    return lambda: next(source, None)


def distinct(url: str, dimensions: int) -> Callable[[], bytes | None]:
    """Requests of one text each, none of which comes again."""
    mark = "number 0000000"
    request = Ask((mark,), dimensions).bytes_to(url)
    before, _, after = request.partition(mark.encode())
    numbers = itertools.count()
    return lambda: before + b"number %07d" % next(numbers) + after


def errors(answers: list[Answer]) -> int:
    """How many were none, or not a 200."""
    return sum(answer.status != 200 for answer in answers)


def percentile(answers: list[Answer], share: float) -> float:
    """Milliseconds within which that share of the answers came."""
    ordered = sorted(answer.seconds for answer in answers)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e3
