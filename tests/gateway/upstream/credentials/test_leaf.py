"""Upstreams and clients with OCI credentials, against a platform that verifies them."""

from __future__ import annotations

import asyncio
import threading
import time as wall
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest

from doubles.oci_identity import (
    FINGERPRINT,
    KEY_ID,
    TENANCY,
    Identity,
    Rotation,
    private_key,
    write_api_key,
    write_profile,
)
from doubles.time import Time
from embedway_client.auth import OCIAuth
from embedway_gateway.transport import AiohttpTransport
from embedway_gateway.wire import Carrier, WireTransport
from embedway_upstream import (
    Bearer,
    EmbeddingRequest,
    HTTPCall,
    HTTPReply,
    Upstream,
    UpstreamRefused,
)
from embedway_upstream.credentials import principal
from embedway_upstream.credentials.error import CredentialsError, LoginDown
from embedway_upstream.credentials.oci import OCISignature
from embedway_upstream.credentials.snapshot import Snapshot

REQUEST = EmbeddingRequest("m", ("a", "b"))


class Source:
    """Gives a new snapshot each time; `seconds` is how long that takes."""

    watch: float | None = None

    def __init__(self, clock: Callable[[], float], life: float, seconds: float = 0.0) -> None:
        self.clock, self.life, self.seconds = clock, life, seconds
        self.asked: list[bool] = []
        self.threads: set[int] = set()
        self.error: CredentialsError | None = None

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        self.asked.append(force)
        self.threads.add(threading.get_ident())
        wall.sleep(self.seconds)
        if self.error:
            raise self.error
        now = self.clock()
        return Snapshot(key_id=KEY_ID, key=private_key(), issued_at=now, expires_at=now + self.life)


@pytest.fixture(params=[WireTransport, AiohttpTransport], ids=["wire", "aiohttp"])
async def transport(request: pytest.FixtureRequest) -> AsyncIterator[Carrier]:
    transport: Carrier = request.param()
    yield transport
    await transport.close()


async def test_a_call_is_accepted(deployment: Any, transport: Carrier, tmp_path: Path) -> None:
    credentials = principal.api_key(config_file=str(write_api_key(tmp_path)))
    upstream = Upstream(deployment.endpoint(credentials), transport)

    response = await upstream.send(REQUEST)

    assert (2, 8) == response.vectors.shape
    assert {"ok": 1} == dict(deployment.app.verdicts)
    assert "transfer-encoding" not in deployment.app.seen[0]
    assert 32 == len(deployment.app.seen[0]["opc-request-id"])


async def test_a_401_is_signed_afresh_once(
    deployment: Any, transport: Carrier, tmp_path: Path
) -> None:
    now = wall.time() - 100
    source = Source(lambda: now, 1e6)

    def clock() -> float:
        nonlocal now
        now += 1
        return now

    credentials = OCISignature(source, clock=clock, elapsed=clock)
    upstream = Upstream(deployment.endpoint(credentials), transport)
    deployment.app.faults.append(401)
    await upstream.send(REQUEST)
    first, second = deployment.app.seen
    assert [False, True] == source.asked
    assert first["date"] != second["date"]
    assert first["opc-request-id"] != second["opc-request-id"]

    deployment.app.faults.extend([401, 401])
    with pytest.raises(UpstreamRefused, match="signature") as caught:
        await upstream.send(REQUEST)
    assert 4 == len(deployment.app.seen)
    assert "opc-request-id" in caught.value.detail
    assert "ashburn" == caught.value.upstream


async def test_a_fixed_token_is_not_tried_twice(deployment: Any, transport: Carrier) -> None:
    upstream = Upstream(deployment.endpoint(Bearer("x")), transport)
    with pytest.raises(UpstreamRefused):
        await upstream.send(REQUEST)
    assert 1 == len(deployment.app.seen)


async def test_many_refused_calls_share_one_refresh(deployment: Any, transport: Carrier) -> None:
    source = Source(wall.time, 1e6, seconds=0.2)
    credentials = OCISignature(source)
    upstreams = [Upstream(deployment.endpoint(credentials), transport) for _ in range(3)]
    deployment.app.faults.extend([401] * 30)

    await asyncio.gather(*(one.send(REQUEST) for one in upstreams for _ in range(10)))

    assert source.asked.count(False) == 1
    assert 1 <= source.asked.count(True) <= 1


async def test_a_call_refused_after_a_refresh_failed_is_told_why(deployment: Any) -> None:
    """Not that the login is wrong, which the refused token alone would say."""
    source = Source(wall.time, 1e6)
    late = asyncio.Event()

    class Refusing:
        calls = 0

        async def send(self, call: HTTPCall) -> HTTPReply:
            self.calls += 1
            if self.calls == 2:
                await late.wait()
            return HTTPReply(401, {}, b"")

    transport = Refusing()
    credentials = OCISignature(source)
    upstream = Upstream(deployment.endpoint(credentials), transport)
    credentials.refresh()
    source.error = LoginDown("the token server cannot answer now")
    tasks = [asyncio.create_task(upstream.send(REQUEST)) for _ in range(2)]

    with pytest.raises(LoginDown):
        await tasks[0]
    late.set()
    with pytest.raises(LoginDown) as caught:
        await tasks[1]
    assert caught.value.retryable
    assert 2 == transport.calls


async def test_the_event_loop_is_not_blocked_by_a_refresh(
    deployment: Any, transport: Carrier
) -> None:
    source = Source(wall.time, 1e6, seconds=0.3)
    upstream = Upstream(deployment.endpoint(OCISignature(source)), transport)
    task = asyncio.create_task(upstream.send(REQUEST))
    ticks = 0
    while not task.done():
        await asyncio.sleep(0.01)
        ticks += 1
    await task
    assert ticks > 10
    assert threading.get_ident() not in source.threads


async def test_it_is_renewed_ahead_while_the_old_one_signs(
    deployment: Any, transport: Carrier
) -> None:
    time = Time()
    time.now = wall.time()
    source = Source(time, 3600)
    credentials = OCISignature(source, clock=time, elapsed=time)
    upstream = Upstream(deployment.endpoint(credentials), transport)
    await upstream.send(REQUEST)
    time.now += 3600 - 290
    deployment.app.clock = time
    source.seconds = 0.3

    begun = wall.perf_counter()
    await asyncio.gather(*(upstream.send(REQUEST) for _ in range(5)))
    assert wall.perf_counter() - begun < 0.25
    await asyncio.sleep(0.5)

    assert [False, False] == source.asked
    assert not credentials.due()


async def test_a_renewal_that_fails_hurts_only_when_the_old_one_is_over(
    deployment: Any, transport: Carrier
) -> None:
    time = Time()
    time.now = wall.time()
    deployment.app.clock = time
    source = Source(time, 3600)
    upstream = Upstream(
        deployment.endpoint(OCISignature(source, clock=time, elapsed=time)), transport
    )
    await upstream.send(REQUEST)
    source.error = CredentialsError("no metadata service")
    time.now += 3600 - 200
    for _ in range(5):
        await upstream.send(REQUEST)
        await asyncio.sleep(0.02)
    assert 2 == len(source.asked)
    time.now += 199
    with pytest.raises(CredentialsError, match="no metadata") as caught:
        await upstream.send(REQUEST)
    assert "ashburn" == caught.value.upstream


@contextmanager
def rotating(rotation: Rotation, every: float) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            rotation.turn()

    rotation.turn()
    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def principal_of(kind: str, rotation: Rotation, folder: Path) -> OCISignature:
    if kind == "resource":
        return principal.resource(
            {
                "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
                "OCI_RESOURCE_PRINCIPAL_RPST": str(rotation.token_file),
                "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": str(rotation.key_file),
            }
        )
    file = write_profile(
        folder,
        fingerprint=FINGERPRINT,
        tenancy=TENANCY,
        key_file=str(rotation.key_file),
        security_token_file=str(rotation.token_file),
    )
    return principal.session(config_file=str(file))


@pytest.mark.parametrize(("kind", "seconds"), [("resource", 6.0), ("session", 3.0)])
async def test_rotation_under_load(
    kind: str,
    seconds: float,
    deployment: Any,
    identity: Identity,
    transport: Carrier,
    tmp_path: Path,
) -> None:
    """16 callers, tokens that live 4 seconds and are replaced twice a second."""
    # Not less: on a busy machine the thread that replaces them may stand still for two.
    rotation = Rotation(tmp_path, identity, life=4.0)
    end = wall.monotonic() + seconds

    async def caller(upstream: Upstream) -> None:
        while wall.monotonic() < end:
            await upstream.send(REQUEST)
            await asyncio.sleep(0.02)

    with rotating(rotation, 0.5):
        credentials = principal_of(kind, rotation, tmp_path)
        upstream = Upstream(deployment.endpoint(credentials), transport)
        await asyncio.gather(*(caller(upstream) for _ in range(16)))

    verdicts = deployment.app.verdicts
    assert verdicts["ok"] > 100
    assert 0 == verdicts["signature"] == verdicts["token unknown"]
    assert rotation.turns > seconds
    # Each refresh was worth it: no storm.
    assert credentials.refreshes < 6 * seconds


def body(count: int = 1) -> dict[str, Any]:
    return {"model": "m", "input": ["x"] * count}


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_blocking_client(library: Any, deployment: Any) -> None:
    source = Source(wall.time, 1e6)
    url = f"{deployment.url}/predict/v1/embeddings?a=b%20c"
    with library.Client(auth=OCIAuth(OCISignature(source))) as client:
        assert 200 == client.post(url, json=body()).status_code
        forged = {"date": "yesterday", "x-content-sha256": "forged", "Authorization": "Basic x"}
        assert 200 == client.post(url, json=body(), headers=forged).status_code
        chunks = iter([b'{"model":"m",', b'"input":["x"]}'])
        assert 200 == client.post(url, content=chunks).status_code
        deployment.app.faults.append(401)
        assert 200 == client.post(url, json=body()).status_code
        assert [False, True] == source.asked
        deployment.app.faults.extend([401, 401])
        assert 401 == client.post(url, json=body()).status_code
    assert {"ok"} == set(deployment.app.verdicts)


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_an_async_client(library: Any, deployment: Any) -> None:
    """A lock that is held while a request is under way would hang here."""
    source = Source(wall.time, 1e6, seconds=0.1)
    url = f"{deployment.url}/predict/v1/embeddings"
    async with library.AsyncClient(auth=OCIAuth(OCISignature(source))) as client:
        deployment.app.faults.extend([401] * 8)
        replies = await asyncio.gather(*(client.post(url, json=body()) for _ in range(16)))
        assert [200] * 16 == [reply.status_code for reply in replies]
    assert [False, True] == source.asked
    assert threading.get_ident() not in source.threads


def test_refused_credentials_are_told_by_a_client(deployment: Any, tmp_path: Path) -> None:
    auth = OCIAuth(principal.api_key(config_file=str(tmp_path / "none")))
    with (
        httpx.Client(auth=auth) as client,
        pytest.raises(CredentialsError, match="configuration file cannot be read"),
    ):
        client.post(deployment.url, json=body())


def test_a_clock_that_is_set_back_prolongs_no_pause() -> None:
    """As a refusal for a wrong clock advises: an hour ahead, and then put right."""
    clock, elapsed = Time(), Time()
    clock.now = right = wall.time()
    source = Source(clock, 3600)
    source.watch = 5.0
    credentials = OCISignature(source, clock=clock, elapsed=elapsed)
    clock.now += 3600
    source.error = CredentialsError("the clock is wrong")
    with pytest.raises(CredentialsError, match="the clock is wrong"):
        credentials.refresh()
    clock.now = right
    source.error = None
    elapsed.now += 1.5

    assert credentials.refresh()
    assert not credentials.stale()
    assert 2 == source.asked.count(False)


def test_a_clock_that_is_set_back_stops_neither_force_nor_watch() -> None:
    clock, elapsed = Time(), Time()
    clock.now = wall.time()
    source = Source(clock, 1e6)
    source.watch = 5.0
    credentials = OCISignature(source, clock=clock, elapsed=elapsed)
    credentials.refresh()
    credentials.refresh(force=True)
    clock.now -= 3600
    elapsed.now += 1.5
    credentials.refresh(force=True)
    elapsed.now += 5.5

    assert [False, True, True] == source.asked
    assert credentials.due()


async def test_after_a_renewal_in_vain_the_next_calls_renew_nothing(
    deployment: Any, transport: Carrier
) -> None:
    """What is refused is something else, as where an engine wants a key of its own."""
    time, now = Time(), wall.time()
    source = Source(lambda: now, 1e6)
    credentials = OCISignature(source, elapsed=time)
    upstream = Upstream(deployment.endpoint(credentials), transport, clock=time)

    async def refused() -> int:
        before = len(deployment.app.seen)
        with pytest.raises(UpstreamRefused):
            await upstream.send(REQUEST)
        return len(deployment.app.seen) - before

    deployment.app.faults.extend([401] * 6)
    assert [2, 1, 1] == [await refused() for _ in range(3)]
    assert [False, True] == source.asked
    time.now += 6
    assert 2 == await refused()
    assert [False, True, True] == source.asked


async def test_a_renewal_that_helps_is_followed_by_another(
    deployment: Any, transport: Carrier
) -> None:
    time, now = Time(), wall.time()
    source = Source(lambda: now, 1e6)
    upstream = Upstream(deployment.endpoint(OCISignature(source, elapsed=time)), transport)
    for _ in range(3):
        time.now += 1.5
        deployment.app.faults.append(401)
        await upstream.send(REQUEST)

    assert [False, True, True, True] == source.asked
