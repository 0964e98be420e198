"""Signs what any httpx client sends to OCI: `httpx.Client(auth=OCIAuth(signer))`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from typing import TYPE_CHECKING, Any

import httpx

from embedway_client.refresh import Refresh
from embedway_upstream.credentials.accept import credentials_from
from embedway_upstream.credentials.renewal import Renewal

__all__ = ["OCIAuth"]

if TYPE_CHECKING:
    _Auth2 = object
else:
    try:
        from httpx2 import Auth as _Auth2
    except ImportError:
        _Auth2 = object

# What a signature covers or replaces: never taken over from the caller's request.
_OURS = ("date", "authorization", "x-content-sha256", "opc-obo-token", "transfer-encoding")


class OCIAuth(httpx.Auth, _Auth2):
    """
    An `auth=` for the clients of httpx and of httpx2, blocking and async.

    `credentials` is what `credentials_from` takes: credentials of embedway, a signer of the `oci`
    SDK, or the `{"signer": …}` of oracle-ads. They are renewed before they expire, off the event
    loop, and once more after a 401, whose request is then signed anew and sent again. No lock is
    held while a request is under way.

    Raises `CredentialsError` when nothing can be signed.
    """

    requires_request_body = True

    def __init__(self, credentials: object) -> None:
        self._credentials = credentials_from(credentials)
        self._renewal = Renewal(self._credentials)
        self._refresh = Refresh(self._credentials)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign, and after a 401 once more; refreshes block, unless what is held still holds."""
        self._refresh.ready()
        seen = self._refresh.forced
        self._sign(request)
        response = yield request
        if response.status_code == 401 and self._refresh.renew(seen):
            self._sign(request)
            response = yield request
            self._refresh.rest.after(response.status_code)

    async def async_auth_flow(
        self, request: httpx.Request
    ) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """Like `auth_flow`, with refreshes in a thread."""
        await request.aread()
        await self._renewal.ready()
        seen = self._renewal.forced
        self._sign(request)
        response = yield request
        if response.status_code == 401 and await self._renewal.renew(seen):
            self._sign(request)
            response = yield request
            self._renewal.rest.after(response.status_code)

    def _sign(self, request: httpx.Request) -> None:
        headers: Any = request.headers
        for name in _OURS:
            headers.pop(name, None)
        trusted = {}
        if "content-type" in headers:
            trusted["content-type"] = headers["content-type"]
        headers.update(
            self._credentials.sign(request.method, str(request.url), trusted, request.content)
        )

    def __repr__(self) -> str:
        return f"OCIAuth({self._credentials!r})"
