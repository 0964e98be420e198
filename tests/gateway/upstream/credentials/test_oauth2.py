"""OAuth2 client credentials: few tokens, no secrets shown, one request for many callers."""

from __future__ import annotations

import copy
import logging
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from doubles.aicore_api import AICoreAPI
from doubles.serving import free_port, served
from doubles.time import Time
from embedway_upstream.credentials.credentials import Credentials
from embedway_upstream.credentials.error import CredentialsError, LoginDown
from embedway_upstream.credentials.oauth2 import ClientCredentials, Login

SECRETS = ("planted-secret", "planted-token", "PRIVATE KEY")


class Slept(list[float]):
    """Stands for `time.sleep`, without waiting."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def server() -> Iterator[tuple[AICoreAPI, str]]:
    api = AICoreAPI()
    with served(api) as url:
        yield api, f"{url}/oauth/token"


def made(url: str, **options: Any) -> ClientCredentials:
    secret = options.pop("secret", "planted-secret")
    login = Login(token_url=url, client_id="client", client_secret=secret)
    return ClientCredentials(login, **{"sleep": Slept(), **options})


def headers(credentials: Credentials) -> str:
    if credentials.stale() or credentials.due():
        credentials.refresh()
    return credentials.sign("POST", "https://x", {}, b"")["authorization"]


def test_a_token_is_asked_for_once_for_nine_calls(server: tuple[AICoreAPI, str]) -> None:
    """SAP's own SDK asks nine times."""
    api, url = server
    api.expires_in = 1800
    credentials, seen = made(url), set()

    for _ in range(9):
        seen.add(headers(credentials))

    assert {"Bearer planted-token-1"} == seen
    assert 1 == len(api.forms)
    assert "client_credentials" == api.forms[0]["grant_type"]


@pytest.mark.parametrize(
    ("life", "margin"), [(43199, 300.0), (1800, 180.0), (100, 10.0), ("1800", 180.0)]
)
def test_it_is_renewed_ahead_of_its_end(
    server: tuple[AICoreAPI, str], life: Any, margin: float
) -> None:
    api, url = server
    api.expires_in = life
    clock = Time()
    credentials = made(url, clock=clock)
    headers(credentials)

    clock.now += float(life) - margin - 0.5
    assert not credentials.due()
    clock.now += 1
    assert credentials.due()
    assert not credentials.stale()
    assert "Bearer planted-token-2" == headers(credentials)
    clock.now += float(life)
    assert credentials.stale()


def test_sixteen_callers_make_one_request(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    api.token_delay = 0.2
    credentials = made(url)

    for expected, force in ((1, False), (2, True)):
        barrier = threading.Barrier(16)

        def call(_: int, *, barrier: threading.Barrier = barrier, force: bool = force) -> str:
            barrier.wait()
            assert credentials.refresh(force)
            return credentials.sign("GET", "", {}, b"")["authorization"]

        with ThreadPoolExecutor(16) as pool:
            answers = set(pool.map(call, range(16)))
        assert {f"Bearer planted-token-{expected}"} == answers
        assert expected == len(api.forms)


def test_while_one_renews_ahead_the_others_go_on(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    clock = Time()
    credentials = made(url, clock=clock)
    headers(credentials)
    clock.now += 43000
    with credentials._lock:
        assert not credentials.refresh()
    assert 1 == len(api.forms)


def test_all_callers_share_a_failure(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    api.token_delay = 0.1
    credentials = made(url, secret="wrong")
    barrier = threading.Barrier(8)

    def call(_: int) -> BaseException:
        barrier.wait()
        with pytest.raises(CredentialsError) as caught:
            credentials.refresh()
        return caught.value

    with ThreadPoolExecutor(8) as pool:
        errors = list(pool.map(call, range(8)))

    assert 1 == len(api.forms)
    assert 8 == len({id(error) for error in errors})


@pytest.mark.parametrize("fault", [408, 429, 500, 503])
def test_a_passing_failure_is_tried_again(server: tuple[AICoreAPI, str], fault: int) -> None:
    api, url = server
    slept = Slept()
    api.token_faults += [(fault, {"retry-after": "3"}), fault]

    assert made(url, sleep=slept).refresh()
    assert [3.0, 1.0] == slept


def test_a_long_pause_is_told_on(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    slept, clock = Slept(), Time()
    api.token_faults.append((429, {"retry-after": "120"}))
    credentials = made(url, sleep=slept, clock=clock)

    with pytest.raises(CredentialsError) as caught:
        credentials.refresh()

    assert 120.0 == caught.value.retry_after
    assert [] == slept
    clock.now += 100
    with pytest.raises(LoginDown):
        credentials.refresh()
    assert 1 == len(api.forms)
    clock.now += 21
    assert credentials.refresh()


def test_a_wrong_secret_names_the_cure_and_is_not_hammered(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    clock = Time()
    credentials = made(url, secret="wrong", clock=clock)

    for _ in range(5):
        with pytest.raises(CredentialsError, match="service key") as caught:
            credentials.refresh()

    assert not isinstance(caught.value, LoginDown)
    assert "status 401, invalid_client" == caught.value.detail
    assert 1 == len(api.forms)
    clock.now += 6
    with pytest.raises(CredentialsError):
        credentials.refresh()
    assert 2 == len(api.forms)


def test_a_failure_ahead_of_the_end_keeps_the_token(
    server: tuple[AICoreAPI, str], caplog: pytest.LogCaptureFixture
) -> None:
    api, url = server
    clock = Time()
    credentials = made(url, clock=clock)
    headers(credentials)
    clock.now += 43000
    api.token_faults += [500, 500, 500]

    assert not credentials.refresh()
    assert "Bearer planted-token-1" == headers(credentials)
    assert not credentials.due()
    assert "could not be renewed" in caplog.text
    assert "planted" not in caplog.text
    clock.now += 6
    assert "Bearer planted-token-2" == headers(credentials)


def test_a_token_that_has_ended_is_no_excuse(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    clock = Time()
    credentials = made(url, clock=clock)
    headers(credentials)
    clock.now += 43199
    api.token_faults.append(404)
    for _ in range(2):
        assert credentials.stale()
        with pytest.raises(CredentialsError, match="token endpoint"):
            credentials.refresh()
    assert 2 == len(api.forms)
    clock.now += 6
    assert "Bearer planted-token-2" == headers(credentials)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (b"<html>", "not an OAuth2 token"),
        (b"[]", "not an OAuth2 token"),
        (b'{"expires_in":1}', "not an OAuth2 token"),
        (b'{"access_token":"a","expires_in":"soon"}', "not an OAuth2 token"),
        (b'{"access_token":"a","expires_in":1e999}', "bearer token"),
        (b'{"access_token":"a","expires_in":-1}', "bearer token"),
        (b'{"access_token":"a","expires_in":NaN}', "bearer token"),
        (b'{"access_token":7,"expires_in":10}', "bearer token"),
        (b'{"access_token":"a\\nb","expires_in":10}', "bearer token"),
        (b'{"access_token":"a","token_type":"mac"}', "bearer token"),
        (b" " * 70_000, "over 65536 bytes"),
        ((302, {"location": "https://elsewhere.example/"}), "not a token endpoint"),
        (404, "not a token endpoint"),
        (418, "answered 418"),
    ],
)
def test_what_is_no_token_is_refused(server: tuple[AICoreAPI, str], fault: Any, says: str) -> None:
    api, url = server
    api.token_faults.append(fault)
    credentials = made(url)

    with pytest.raises(CredentialsError, match=says):
        credentials.refresh()
    assert credentials.stale()
    with pytest.raises(CredentialsError, match="no token"):
        credentials.sign("GET", "", {}, b"")


def test_a_token_without_a_life_is_given_one(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    api.token_faults.append(b'{"access_token":"a"}')
    clock = Time()
    credentials = made(url, clock=clock)
    credentials.refresh()
    clock.now += 500
    assert not credentials.stale()


def test_nobody_at_the_address() -> None:
    credentials = made(f"http://127.0.0.1:{free_port()}/oauth/token")
    with pytest.raises(LoginDown, match="cannot be reached"):
        credentials.refresh()


def test_a_server_that_drips_is_given_up(server: tuple[AICoreAPI, str]) -> None:
    api, url = server
    api.token_delay = 1.0
    with pytest.raises(LoginDown, match="too long"):
        made(url, timeout=0.05).refresh()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda: Login(
            token_url="http://remote.example/oauth/token", client_id="a", client_secret="s"
        ),
        lambda: Login(token_url="https://u:p@h/oauth/token", client_id="a", client_secret="s"),
        lambda: Login(token_url="https://h/t", client_id="", client_secret="s"),
        lambda: Login(token_url="https://h/t", client_id="a"),
        lambda: Login(token_url="https://h/t", client_id="a", cert="c"),
        lambda: Login(token_url="https://h/t", client_id="a", client_secret="s", cert="c", key="k"),
    ],
)
def test_a_login_that_cannot_be_is_refused(spoil: Callable[[], Login]) -> None:
    with pytest.raises(ValueError):
        spoil()


def test_secrets_are_never_shown(
    server: tuple[AICoreAPI, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    api, url = server
    credentials = made(url)
    headers(credentials)
    login, token = credentials._login, credentials._token
    shown = [repr(credentials), str(credentials), repr(login), repr(token), caplog.text]
    for spoilt in (credentials, login):
        for attempt in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError) as caught:
                attempt(spoilt)
            shown.append(repr(caught.value))
    api.token_faults += [(401, {}, b'{"error":"planted-secret planted-token"}')]
    with pytest.raises(CredentialsError) as refused:
        credentials.refresh(force=True)
    shown += [repr(refused.value), refused.value.detail, str(refused.value)]

    assert not [text for text in shown for secret in SECRETS if secret in text]
