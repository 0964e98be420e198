"""A stand-in for an identity domain of OCI that exchanges tokens of another identity provider."""

from __future__ import annotations

import base64
import binascii
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from doubles.oci_identity import Identity
from doubles.openai_upstream import _lifespan, _reply

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
WANTED = "urn:oci:token-type:oci-upst"


@dataclass
class OCIDomain:
    """
    An ASGI application. Gives a token (UPST) for the session key of whoever shows the client's id
    and secret and a token that is in `trusted`. `faults` are statuses, taken one a request.
    """

    identity: Identity = field(default_factory=Identity)
    client_id: str = "client"
    client_secret: str = "planted-secret"
    trusted: set[str] = field(default_factory=lambda: {"jwt-1"})
    life: float = 3600.0
    faults: deque[int] = field(default_factory=deque)
    forms: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.paths.append(scope["path"])
        self.forms.append({name: one[0] for name, one in parse_qs(body.decode()).items()})
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        status, answer = self._answer(headers.get("authorization", ""), self.forms[-1])
        location = {"location": "/elsewhere"} if 300 <= status < 400 else None
        return await _reply(send, status, json.dumps(answer).encode(), location)

    def _answer(self, authorization: str, form: dict[str, str]) -> tuple[int, dict[str, str]]:
        if self.faults:
            return self.faults.popleft(), {"error": "planted words"}
        if self.paths[-1] != "/oauth2/v1/token":
            return 404, {"error": "no such place"}
        login = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        if authorization != f"Basic {login}":
            return 401, {"error": "invalid_client"}
        kinds = (form.get("grant_type"), form.get("requested_token_type"))
        if kinds != (GRANT, WANTED) or form.get("subject_token_type") != "jwt":
            return 400, {"error": "invalid_request"}
        if form.get("subject_token") not in self.trusted:
            return 400, {"error": "invalid_grant"}
        try:
            key = load_der_public_key(base64.b64decode(form.get("public_key", ""), validate=True))
        except (ValueError, binascii.Error):
            return 400, {"error": "invalid_request"}
        assert isinstance(key, RSAPublicKey)
        return 200, {"token": self.identity.token(key, self.life)}
