"""
OAuth2 client credentials (RFC 6749 §4.4), with a secret or a client certificate: AI Core's login.

Facts from SAP's ai-core-sdk (`ai_api_client_sdk/helpers/authenticator.py`).
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import urlsplit

from embedway_upstream.credentials.error import CredentialsError, LoginDown
from embedway_upstream.credentials.flight import Flights
from embedway_upstream.credentials.renewed import Told, untold
from embedway_upstream.credentials.token_server import NO_ENDPOINT, ask
from embedway_upstream.error import (
    BadReply,
    EmbeddingError,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from embedway_upstream.loopback import is_loopback

__all__ = ["ClientCredentials", "Login"]

_log = logging.getLogger("embedway.upstream")

_ATTEMPTS = 3
_FIRST_WAIT = 0.5
# A token server that asks for a longer pause is told on to the caller instead of waited for.
_LONGEST_WAIT = 10.0
# After a failure nobody asks again for so long: SAP locks clients that keep sending a wrong secret.
_REST = 5.0
# RFC 6749 §5.1 lets a server leave `expires_in` out.
_DEFAULT_LIFE = 600.0
_PASSING = (UpstreamFailed, UpstreamUnreachable, UpstreamTimeout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """
    What a token is asked for with: `client_secret`, or `cert` and `key` for mTLS, each the path
    of a PEM file or the PEM text itself. Raises `ValueError` for anything else.

    `api_url` and `resource_group` are what a service key says beside it, where it does.
    """

    token_url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    cert: str | None = field(default=None, repr=False)
    key: str | None = field(default=None, repr=False)
    api_url: str | None = None
    resource_group: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.token_url)
        loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
        if not parts.hostname or parts.username or not (loopback or parts.scheme == "https"):
            raise ValueError("token_url must begin with https:// and name a host")
        if not self.client_id:
            raise ValueError("client_id is empty")
        if bool(self.client_secret) == bool(self.cert and self.key):
            raise ValueError("give either client_secret, or cert and key together")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a login holds secrets and is not pickled")


@dataclass(frozen=True, slots=True)
class _Token:
    header: Mapping[str, str] = field(repr=False)
    renew: float
    expires: float


class ClientCredentials:
    """
    A bearer token that is renewed when less than 10 % of its life is left, 300 s at most.

    `sign` does no I/O and takes the token as one snapshot. `refresh` blocks, may be called from
    any thread, and asks the token server once however many call it. It raises `CredentialsError`
    unless the token at hand still holds, a `LoginDown` where asking again may help; a failure is
    kept for 5 s instead of asking again.
    `again` reads the login anew for each token, for service keys that are replaced where they
    lie; it raises `ValueError`. `proxy_of` gives the proxy for the token server's address.
    """

    def __init__(
        self,
        login: Login,
        *,
        again: Callable[[], Login] | None = None,
        proxy_of: Callable[[str], str | None] = lambda _url: None,
        timeout: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._login = login
        self._again = again
        self._proxy_of = proxy_of
        self._timeout = timeout
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._token: _Token | None = None
        self._failure: CredentialsError | None = None
        self._rests_until = 0.0
        self.told: Told = untold
        self.flights = Flights()

    @property
    def login(self) -> Login:
        """What the last token was asked for with."""
        return self._login

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """The `authorization` header. Raises `CredentialsError` before the first `refresh`."""
        token = self._token
        if token is None:
            raise CredentialsError("there is no token yet", detail="refresh the credentials first")
        return token.header

    def stale(self) -> bool:
        """Whether there is no token, or none that still holds."""
        token = self._token
        return token is None or self._clock() >= token.expires

    def due(self) -> bool:
        """Whether the token's end is near; not for a while after a renewal failed."""
        token, now = self._token, self._clock()
        return token is None or (now >= token.renew and now >= self._rests_until)

    def refresh(self, force: bool = False) -> bool:
        """
        Get a new token when one is due, or in any case when `force` says that the present one was
        refused. Who waited for another's refresh takes its token. True for a new token.
        """
        seen = self._token
        holds = not force and not self.stale()
        # Ahead of expiry one caller asks; the others go on with the token that still holds.
        if not self._lock.acquire(blocking=not holds):
            return False
        try:
            if self._token is not seen:
                return True
            wanted = force or self.stale() or self.due()
            return wanted and self._renew(holds=holds)
        finally:
            self._lock.release()

    def _renew(self, *, holds: bool) -> bool:
        if self._failure is not None and self._clock() < self._rests_until:
            raise _again(self._failure)
        try:
            self._token, self._failure = self._fetch(), None
        except EmbeddingError as error:
            self._failure = _again(error)
            self._rests_until = self._clock() + max(_REST, error.retry_after or 0.0)
            self.told(False)
            if not holds:
                raise _again(error) from None
            _log.warning("a token could not be renewed ahead of its end: %s", error.message)
            return False
        self.told(True)
        return True

    def _fetch(self) -> _Token:
        self._login = self._read_again()
        attempt = 1
        while True:
            try:
                started = self._clock()
                return _token(self._ask(), started)
            except _PASSING as error:
                wait = error.retry_after
                wait = _FIRST_WAIT * 2.0 ** (attempt - 1) if wait is None else wait
                if attempt == _ATTEMPTS or wait > _LONGEST_WAIT:
                    raise
            self._sleep(wait)
            attempt += 1

    def _read_again(self) -> Login:
        try:
            return self._login if self._again is None else self._again()
        except ValueError as error:
            message = "the service key cannot be read again: check its file, or its variable"
            raise CredentialsError(message, detail=str(error)) from None

    def _ask(self) -> bytes:
        proxy = self._proxy_of(self._login.token_url)
        return ask(self._login, proxy=proxy, timeout=self._timeout, clock=self._clock)

    def __repr__(self) -> str:
        return f"ClientCredentials({self._login!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled")


def _again(error: EmbeddingError) -> CredentialsError:
    """One to raise: an exception that is raised twice mixes two tracebacks."""
    kind = LoginDown if isinstance(error, (*_PASSING, LoginDown)) else CredentialsError
    return kind(error.message, retry_after=error.retry_after, detail=error.detail)


def _token(body: bytes, started: float) -> _Token:
    try:
        reply = json.loads(body)
        value = reply["access_token"]
        life = float(reply.get("expires_in", _DEFAULT_LIFE))
        kind = str(reply.get("token_type", "bearer")).lower()
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        raise BadReply(f"the token server's reply is not an OAuth2 token: {NO_ENDPOINT}") from None
    good = isinstance(value, str) and value and value.isascii() and value.isprintable()
    if not good or kind != "bearer" or not 0 < life < float("inf"):
        raise BadReply("the token server's reply is not a bearer token with a life")
    expires = started + life
    return _Token({"authorization": f"Bearer {value}"}, expires - min(300.0, life / 10), expires)
