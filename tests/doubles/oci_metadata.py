"""A stand-in for an instance's metadata service, and for the federation that it is known to."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key
from cryptography.x509.oid import NameOID

from doubles.oci_identity import TENANCY, Identity, pem, private_key


@dataclass
class OCIMetadata:
    """An ASGI application; `federations` counts the tokens that were given."""

    identity: Identity
    life: float = 3600.0
    federations: int = 0
    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        path = scope["path"]
        self.paths.append(path)
        answer = self._answer(path, body)
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, path: str, body: bytes) -> bytes:
        if path.endswith("/instance/region"):
            return b"iad"
        if path.endswith("/key.pem"):
            return pem(private_key(9))
        if path.endswith(".pem"):
            return certificate()
        if path.endswith("/oauth2/v1/token"):
            from urllib.parse import parse_qs

            return self._token(parse_qs(body.decode())["public_key"][0])
        return self._token(json.loads(body)["publicKey"])

    def _token(self, public: str) -> bytes:
        self.federations += 1
        text = f"-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n"
        key = load_pem_public_key(text.encode())
        assert isinstance(key, RSAPublicKey)
        return json.dumps({"token": self.identity.token(key, self.life)}).encode()


def certificate() -> bytes:
    """As instances have one: the tenancy is in its subject."""
    name = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, f"opc-tenant:{TENANCY}")]
    )
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key(9).public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(private_key(9), SHA256())
    )
    return built.public_bytes(Encoding.PEM)
