"""Logins where the token server is beyond a proxy, as the calls that follow are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from doubles.authority import Authority
from doubles.proxy import Proxy
from doubles.serving import free_port
from doubles.speaker import read_request, reply, speaking
from embedway_client.credential import aicore_credentials
from embedway_deploy import AICorePlace
from embedway_deploy.aicore.client import AICoreAPI
from embedway_gateway.config.credential import AICoreConfig, OAuth2Config
from embedway_upstream import Bearer, Credentials
from embedway_upstream.credentials.error import LoginDown

HOST = "sap.example"
SECRET = "planted-secret"
KEY = json.dumps({"clientid": "client", "clientsecret": SECRET, "url": f"https://{HOST}"})


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@dataclass
class Beyond:
    """What is beyond the proxy: a token server and an API, `heard` what they were asked."""

    proxy: Proxy = field(default_factory=Proxy)
    heard: list[bytes] = field(default_factory=list)
    content: bytes = b'{"access_token":"good","expires_in":600}'

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await read_request(reader):
            self.heard += [b"\r\n\r\n".join(request)]
            writer.write(reply(self.content))


@asynccontextmanager
async def beyond(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Beyond]:
    authority, there = Authority(folder), Beyond()
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    async with (
        speaking(there.talk, tls=authority.server(HOST)) as server,
        speaking(there.proxy.talk) as outside,
    ):
        there.proxy.port = server.port
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{outside.port}")
        yield there


def of_fields() -> Credentials:
    url = f"https://{HOST}/oauth/token"
    given = {"type": "oauth2", "token_url": url, "client_id": "client", "client_secret": SECRET}
    return OAuth2Config.model_validate(given).make()


def of_a_service_key() -> Credentials:
    return AICoreConfig.model_validate({"type": "aicore", "service_key": KEY}).make()


def of_a_class() -> Credentials:
    return aicore_credentials(KEY)


@pytest.mark.parametrize("make", [of_fields, of_a_service_key, of_a_class])
async def test_a_login_goes_through_the_proxy(
    make: Callable[[], Credentials], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with beyond(tmp_path, monkeypatch) as there:
        credentials = make()
        await asyncio.to_thread(credentials.refresh)

    assert "Bearer good" == credentials.sign("GET", "https://x", {}, b"")["authorization"]
    assert f"CONNECT {HOST}:443 HTTP/1.1".encode() == there.proxy.lines[0]
    assert SECRET.encode() not in b"".join(there.proxy.lines)
    assert SECRET.encode() in there.heard[0]


def test_a_login_of_a_class_in_a_file_goes_there_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which nobody is at: what it says is that it was asked."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    (tmp_path / "key.json").write_text(KEY)
    credentials = aicore_credentials(service_key_file=str(tmp_path / "key.json"))
    credentials._sleep = lambda _seconds: None  # type: ignore[attr-defined]

    with pytest.raises(LoginDown, match="through the proxy that HTTPS_PROXY"):
        credentials.refresh()


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("http://127.0.0.1:{port}", "through the proxy that HTTPS_PROXY .* NO_PROXY"),
        ("socks5://127.0.0.1:{port}", "HTTPS_PROXY .* is not of http://"),
        ("http://me:planted@[::", "through the proxy that HTTPS_PROXY"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_told(
    proxy: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.format(port=free_port()))
    credentials = of_fields()
    credentials._sleep = lambda _seconds: None  # type: ignore[attr-defined]

    with pytest.raises(LoginDown, match=says) as caught:
        credentials.refresh()
    assert "planted" not in str(caught.value)


async def test_deploying_asks_aicore_through_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with beyond(tmp_path, monkeypatch) as there:
        there.content = b'{"id":"d1"}'
        place = AICorePlace(
            api_url=f"https://{HOST}", resource_group="group", scenario_id="scenario"
        )
        api = AICoreAPI(place, Bearer("good"), sleep=lambda _seconds: None)
        found = await asyncio.to_thread(api.get, "/deployments/d1")

    assert {"id": "d1"} == found
    assert b"GET /v2/lm/deployments/d1 HTTP/1.1" in there.heard[0]
