"""
SAP AI Core's management API, as far as deploying needs it.

Paths and fields: AI API, as published with SAP's SDK for JavaScript (`AI_CORE_API.yaml`).
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from embedway_deploy.error import CloudRefused, DeployError, LimitExceeded, PolicyMissing
from embedway_gateway.discovery.field import table, text

if TYPE_CHECKING:
    import httpx

    from embedway_deploy.aicore.place import AICorePlace
    from embedway_upstream import Credentials

__all__ = ["AICoreAPI"]

_PAGE = 100
_MAX_BODY = 16 * 1024 * 1024
_ATTEMPTS = 4
_SECONDS = 60.0
_LONGEST_WAIT = 30.0
# A POST that was answered so was not carried out; after a 500 or a broken line it may have been.
_SAFE = {429, 503}


class AICoreAPI:
    """
    One resource group, as one client. Every method raises a `DeployError`; a place whose address is
    not known is `Refused`.

    What only reads is tried again after a broken line and a 5xx; what changes only where AI Core
    said that it did nothing.
    """

    def __init__(
        self,
        place: AICorePlace,
        credentials: Credentials,
        *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        place.demand_address()
        self._base = place.api_url.rstrip("/").removesuffix("/v2") + "/v2/lm"
        self._group = place.resource_group
        self._credentials = credentials
        self._sleep = sleep

    def get(self, path: str) -> Mapping[str, object] | None:
        """One resource; None where there is none (any more)."""
        return self._call("GET", path, None, missing=True)

    def listed(self, path: str, **query: str) -> Iterator[Mapping[str, object]]:
        """Every resource of a list, page by page."""
        read = 0
        while True:
            asked = {**query, "$top": str(_PAGE), "$skip": str(read)}
            written = "&".join(f"{key}={quote(value, safe='')}" for key, value in asked.items())
            reply = self._call("GET", f"{path}?{written}", None) or {}
            found = reply.get("resources")
            if not isinstance(found, list):
                raise CloudRefused(f"AI Core's reply to {path} is no list")
            yield from (table(one) for one in found)
            read, count = read + len(found), reply.get("count")
            if not found or (read >= count if isinstance(count, int) else len(found) < _PAGE):
                return

    def create(self, path: str, body: Mapping[str, object]) -> str:
        """The id of what was made."""
        identity = text((self._call("POST", path, body) or {}).get("id"))
        if not identity:
            raise CloudRefused(f"AI Core's reply to a new one of {path} names no id")
        return identity

    def change(self, path: str, body: Mapping[str, object]) -> None:
        """Patch one resource."""
        self._call("PATCH", path, body)

    def delete(self, path: str) -> None:
        """Remove one resource, if it is there."""
        self._call("DELETE", path, None, missing=True)

    def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        *,
        missing: bool = False,
    ) -> Mapping[str, object] | None:
        renewed = False
        for attempt in range(1, _ATTEMPTS + 1):
            status, headers, content = self._sent(method, path, body, last=attempt == _ATTEMPTS)
            if status == 401 and not renewed:
                renewed = self._renewed()
                continue
            passing = status in _SAFE or (status >= 500 and method == "GET") or status == 0
            if passing and attempt < _ATTEMPTS:
                self._sleep(_wait(headers, attempt))
                continue
            if status == 404 and missing:
                return None
            if not 200 <= status < 300:
                raise self._refusal(method, path, status, content)
            return _parsed(content)
        raise CloudRefused(f"AI Core does not accept the token for {path}", detail="status 401")

    def _renewed(self) -> bool:
        from embedway_upstream import EmbeddingError

        try:
            self._credentials.refresh(force=True)
        except EmbeddingError as error:
            raise DeployError(error.message, detail=error.detail or "") from None
        return True

    def _sent(
        self, method: str, path: str, body: Mapping[str, object] | None, *, last: bool
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body; status 0 where the line broke, and it may be tried again."""
        import httpx

        from embedway_upstream import EmbeddingError

        sent = b"" if body is None else json.dumps(body).encode()
        url = self._base + path
        headers = {"accept": "application/json", "AI-Resource-Group": self._group}
        if body is not None:
            headers["content-type"] = "application/json"
        try:
            self._credentials.refresh()
            headers |= self._credentials.sign(method, url, headers, sent)
            with (
                _opened(url) as client,
                client.stream(method, url, content=sent, headers=headers) as reply,
            ):
                return reply.status_code, dict(reply.headers), _read(reply)
        except EmbeddingError as error:
            raise DeployError(error.message, detail=error.detail or "") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            if method == "GET" and not last:
                return 0, {}, b""
            raise CloudRefused(
                f"AI Core could not be reached for {path}; run the same command again: what was "
                "made is found",
                detail=type(error).__name__,
            ) from None

    def _refusal(self, method: str, path: str, status: int, content: bytes) -> DeployError:
        inner = table(_parsed(content).get("error"))
        code, request = text(inner.get("code")), text(inner.get("requestId"))
        said = text(inner.get("message"))[:400]
        parts = (f"status {status}", code and f"code {code}", request and f"request {request}")
        detail = ", ".join(part for part in parts if part)
        what = f"AI Core refuses {method} {path.partition('?')[0]}"
        if status in {401, 403}:
            return PolicyMissing(
                f"{what}: the service key may not do this in resource group {self._group!r}; check "
                "the group's name and the key's plan",
                detail=detail,
            )
        if "quota" in said.lower() or "limit" in said.lower():
            return LimitExceeded(f"{what}: a quota is used up: {said}", detail=detail)
        return CloudRefused(f"{what}: {said or 'it does not say why'}", detail=detail)


def _opened(url: str) -> httpx.Client:
    """As the gateway calls: through its proxies, and trusting whom it trusts."""
    import httpx

    from embedway_upstream.proxy import read_proxies, require_http

    proxy = read_proxies().of(url)
    require_http(proxy)
    trusted = ssl.create_default_context()
    return httpx.Client(timeout=_SECONDS, trust_env=False, verify=trusted, proxy=proxy)


def _read(reply: httpx.Response) -> bytes:
    content = b""
    for chunk in reply.iter_bytes():
        content += chunk
        if len(content) > _MAX_BODY:
            raise CloudRefused(f"AI Core's reply is over {_MAX_BODY} bytes")
    return content


def _parsed(content: bytes) -> Mapping[str, object]:
    try:
        return table(json.loads(content)) if content else {}
    except (ValueError, RecursionError):
        return {}


def _wait(headers: Mapping[str, str], attempt: int) -> float:
    stated = headers.get("retry-after", "")
    wait = float(stated) if stated.isdigit() else 2.0 ** (attempt - 1)
    return min(wait, _LONGEST_WAIT)
