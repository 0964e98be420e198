"""A stand-in for OCI's model deployments: verifies signatures in front of an engine's stand-in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256

from doubles.oci_identity import Identity

_AUTHORIZATION = re.compile(
    r'Signature algorithm="rsa-sha256",headers="(?P<names>[^"]+)",keyId="(?P<id>[^"]+)",'
    r'signature="(?P<signature>[^"]+)",version="1"'
)
_GENERIC = "date (request-target) host"
_BODY = " content-length content-type x-content-sha256"

CODES = {
    400: ("InvalidParameter", "bad"),
    401: ("NotAuthenticated", "The required information to complete authentication was not given."),
    404: ("NotAuthorizedOrNotFound", "Model deployment not found or authorization failed."),
    405: ("MethodNotAllowed", "no"),
    409: ("ExternalServerIncorrectState", "no stream"),
    411: ("LengthRequired", "length"),
    413: ("PayloadTooLarge", "large"),
    429: ("TooManyRequests", "LB bandwidth limit exceeded. Consider increasing the bandwidth."),
    500: ("InternalServerError", "score.py said: secret words"),
    503: ("ServiceUnavailable", "down"),
}
TENANCY_LIMIT = (
    "Tenancy request-rate limit exceeded. Please use the OCI Console to submit a ticket."
)


class Refusal(Exception):
    """Why a request is refused; the text is for the test."""


@dataclass
class OCIPlatform:
    """
    An ASGI application. What it lets through goes to `inner`, at the path behind `/predict` or in
    `route`. `faults` are statuses of the platform's own, or (status, message), taken one a request.
    """

    inner: Any
    keys: dict[str, RSAPublicKey] = field(default_factory=dict)
    identity: Identity = field(default_factory=Identity)
    clock: Callable[[], float] = time.time
    faults: deque[Any] = field(default_factory=deque)
    verdicts: Counter[str] = field(default_factory=Counter)
    """How many requests were refused, by reason; "ok" for those that were let through."""
    seen: list[dict[str, str]] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    wait: int | None = None
    """`Retry-After` of its 429."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await self.inner(scope, receive, send)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.seen.append(headers)
        if self.faults:
            fault = self.faults.popleft()
            status, words = fault if isinstance(fault, tuple) else (fault, CODES[fault][1])
            return await self._refuse(send, status, words, headers)
        target = scope["raw_path"].decode()
        target += f"?{scope['query_string'].decode()}" if scope["query_string"] else ""
        self.targets.append(target)
        chunked = scope["method"] in {"POST", "PUT", "PATCH"} and "content-length" not in headers
        try:
            self._accept(scope["method"], target, headers, body, chunked=chunked)
        except Refusal as refusal:
            self.verdicts[str(refusal)] += 1
            status = 411 if chunked else 401
            return await self._refuse(send, status, CODES[status][1], headers)
        self.verdicts["ok"] += 1
        path = headers.get("route") or re.sub(r"^.*/predict(WithResponseStream)?", "", target)

        messages = iter([{"type": "http.request", "body": body, "more_body": False}])

        async def again() -> Any:
            # After the body, whatever comes: that the caller hung up.
            return next(messages, None) or await receive()

        return await self.inner({**scope, "path": path or "/predict"}, again, send)

    def _accept(
        self, method: str, target: str, headers: dict[str, str], body: bytes, *, chunked: bool
    ) -> None:
        if chunked:
            raise Refusal("length")
        self.verify(method, target, headers, body)

    def verify(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        body: bytes,
        *,
        stream: bool = False,
    ) -> None:
        """
        Raises `Refusal` unless the request is signed as OCI documents it. Of a `stream`, which is
        an object or a part of one, the body is not signed.
        """
        match = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        if match is None:
            raise Refusal("form")
        names = _GENERIC + (" opc-obo-token" if "opc-obo-token" in headers else "")
        if method in {"POST", "PUT", "PATCH"} and not stream:
            names += _BODY
            if headers["content-length"] != str(len(body)):
                raise Refusal("length differs")
            if (
                headers["x-content-sha256"]
                != base64.b64encode(hashlib.sha256(body).digest()).decode()
            ):
                raise Refusal("body hash")
        if match["names"] != names:
            raise Refusal("signed headers")
        if abs(parsedate_to_datetime(headers["date"]).timestamp() - self.clock()) > 300:
            raise Refusal("date")
        public = self._public(match["id"])
        said = {"(request-target)": f"{method.lower()} {target}", **headers}
        message = "\n".join(f"{name}: {said[name]}" for name in names.split())
        try:
            signature = base64.b64decode(match["signature"])
            public.verify(signature, message.encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            raise Refusal("signature") from None

    def _public(self, key_id: str) -> RSAPublicKey:
        if not key_id.startswith("ST$"):
            if key_id not in self.keys:
                raise Refusal("key id")
            return self.keys[key_id]
        token = key_id.removeprefix("ST$")
        if token not in self.identity.issued:
            raise Refusal("token unknown")
        claims = token.split(".")[1]
        expires = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"]
        if expires <= self.clock():
            raise Refusal("token expired")
        return self.identity.issued[token]

    async def _refuse(self, send: Any, status: int, words: str, headers: dict[str, str]) -> None:
        body = json.dumps({"code": CODES[status][0], "message": words}).encode()
        lines = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"opc-request-id", f"{headers.get('opc-request-id', '')}/AAAA/BBBB".encode()),
            (b"date", formatdate(self.clock(), usegmt=True).encode()),
        ]
        if status == 429 and self.wait is not None:
            lines.append((b"retry-after", b"%d" % self.wait))
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})
