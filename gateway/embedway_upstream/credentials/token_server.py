"""Asks an OAuth2 token server for a token, once."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import httpx

from embedway_upstream.credentials.certificate import tls_context
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.engines.status import retry_after
from embedway_upstream.error import (
    BadReply,
    EmbeddingError,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from embedway_upstream.proxy import NAMED, require_http

if TYPE_CHECKING:
    from embedway_upstream.credentials.oauth2 import Login

__all__ = ["NO_ENDPOINT", "ask"]

_MAX_BODY = 64 * 1024
# The only words of a refusal that are ours to repeat (RFC 6749 §5.2).
_CODES = {"invalid_client", "invalid_grant", "invalid_request", "invalid_scope"}
_CODES |= {"unauthorized_client", "unsupported_grant_type", "unauthorized"}

_SLOW = "the token server took too long: check the host in token_url, and the network"
_AWAY = "the token server cannot be reached: check the host in token_url, and the network"
_BEHIND = (
    f"the token server cannot be reached through {NAMED}: correct the variable, have the proxy "
    "allow the host in token_url, or name that host in NO_PROXY"
)
NO_ENDPOINT = "token_url is not a token endpoint; on SAP BTP it ends in /oauth/token"


def ask(login: Login, *, proxy: str | None, timeout: float, clock: Callable[[], float]) -> bytes:
    """
    The body of its 200. Raises `UpstreamUnreachable`, `UpstreamTimeout` and `UpstreamFailed` where
    asking again may help, `CredentialsError` and `BadReply` where not.
    """
    require_http(proxy)
    form = {"grant_type": "client_credentials", "client_id": login.client_id}
    if login.client_secret:
        form["client_secret"] = login.client_secret
    try:
        with (
            # Made anew each time, so that rotated certificate files are noticed.
            httpx.Client(
                verify=tls_context(login.cert, login.key),
                timeout=timeout,
                trust_env=False,
                proxy=_trusted(proxy),
                headers={"accept": "application/json", "accept-encoding": "identity"},
            ) as client,
            client.stream("POST", login.token_url, data=form) as reply,
        ):
            body = _read(reply, clock, timeout)
    except httpx.TimeoutException as error:
        raise UpstreamTimeout(_SLOW, detail=type(error).__name__) from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        words = _AWAY if proxy is None else _BEHIND
        raise UpstreamUnreachable(words, detail=type(error).__name__) from None
    if reply.status_code != 200:
        raise _refusal(reply.status_code, reply.headers, body)
    return body


def _trusted(proxy: str | None) -> httpx.Proxy | None:
    """A proxy that speaks TLS itself is not shown the certificate that is the token server's."""
    if proxy is None:
        return None
    tls = ssl.create_default_context() if proxy.startswith("https://") else None
    return httpx.Proxy(proxy, ssl_context=tls)


def _read(reply: httpx.Response, clock: Callable[[], float], timeout: float) -> bytes:
    end = clock() + timeout
    body = b""
    for chunk in reply.iter_raw():
        body += chunk
        if len(body) > _MAX_BODY:
            raise BadReply(f"the token server's reply is over {_MAX_BODY} bytes")
        if clock() > end:
            raise UpstreamTimeout(_SLOW)
    return body


def _refusal(status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError:
    try:
        code = json.loads(body).get("error")
    except (ValueError, AttributeError, RecursionError):
        code = None
    detail = f"status {status}" + (f", {code}" if isinstance(code, str) and code in _CODES else "")
    if status in {408, 429} or status >= 500:
        wait = retry_after(headers)
        return UpstreamFailed("the token server cannot answer now", retry_after=wait, detail=detail)
    if status in {400, 401, 403}:
        message = (
            "the token server does not accept the client's id and secret or certificate; take "
            "them, and token_url, from one service key that has not been deleted or rotated"
        )
    elif status in {404, 405} or 300 <= status < 400:
        message = NO_ENDPOINT
    else:
        message = f"the token server answered {status}"
    return CredentialsError(message, detail=detail)
