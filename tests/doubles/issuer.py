"""An identity provider: it signs tokens, and publishes its keys over HTTP."""

from __future__ import annotations

import base64
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

ISSUER = "https://issuer.example/realms/one"
AUDIENCE = "embedway"


def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Issuer:
    """
    An ASGI application at `/jwks`. `faults` are statuses or whole bodies, taken one a request;
    `asked` counts the requests.
    """

    keys: dict[str, Any] = field(default_factory=lambda: {"one": rsa_key()})
    faults: list[Any] = field(default_factory=list)
    asked: int = 0

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 600}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(self, key: str = "one", *, kid: Any = "", alg: str = "", **claims: Any) -> str:
        """Signed with that key, whatever `kid` says."""
        private = self.keys[key]
        kind = "RS256" if isinstance(private, rsa.RSAPrivateKey) else "ES256"
        headers = {} if kid is None else {"kid": kid or key}
        return jwt.encode(self.claims(**claims), private, algorithm=alg or kind, headers=headers)

    def pem(self, key: str = "one") -> bytes:
        public = self.keys[key].public_key()
        return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def document(self) -> bytes:
        found = []
        for name, private in self.keys.items():
            kind = ECAlgorithm if isinstance(private, ec.EllipticCurvePrivateKey) else RSAAlgorithm
            found.append({**json.loads(kind.to_jwk(private.public_key())), "kid": name})
        return json.dumps({"keys": found}).encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        self.asked += 1
        fault = self.faults.pop(0) if self.faults else 200
        status = fault if isinstance(fault, int) else 200
        body = fault if isinstance(fault, bytes) else self.document()
        lines = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": lines})
        await send({"type": "http.response.body", "body": body})


def forged(head: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    """A token as an attacker writes it by hand."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    texts = [part(json.dumps(one).encode()) for one in (head, claims)]
    return ".".join([*texts, part(signature)])
