"""What a security token says of itself; the platform verifies it, we only read."""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass, field

import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from embedway_upstream.credentials.error import CredentialsError

__all__ = ["SecurityToken"]


class _Claims(msgspec.Struct):
    exp: float
    iat: float | None = None
    # Written as a JSON text within the JSON by OCI's services.
    jwk: str | dict[str, object] | None = None


class _Key(msgspec.Struct):
    n: str
    e: str


_read_claims = msgspec.json.Decoder(_Claims).decode
_read_key = msgspec.json.Decoder(_Key).decode


@dataclass(frozen=True, slots=True)
class SecurityToken:
    """
    A JWT of OCI's identity service, and the claims that matter here.

    `modulus` is the public key for which it was issued, of its claim `jwk`; 0 when it has none.
    OCI's SDKs for Java and .NET compare it with the session's key before they sign
    (`SecurityTokenAdapter.isValid`); the one for Python does not.
    """

    text: str = field(repr=False)
    expires_at: float
    issued_at: float | None
    modulus: int

    @classmethod
    def parse(cls, text: str) -> SecurityToken:
        """Raises `CredentialsError` for what is not a JWT with an expiry."""
        text = text.strip()
        try:
            # What is decoded has proven to be ASCII; the rest must be fit for a header as well.
            _, payload, _ = text.encode("ascii").decode().split(".")
            claims = _read_claims(_decoded(payload))
            return cls(text, claims.exp, claims.iat, _modulus(claims.jwk))
        except (ValueError, msgspec.DecodeError, RecursionError):
            raise CredentialsError(
                "the OCI security token is not one; the file may be empty or half written"
            ) from None

    def fits(self, key: RSAPrivateKey) -> bool:
        """Whether it was issued for this key, as far as it tells."""
        return self.modulus in {0, key.private_numbers().public_numbers.n}

    @property
    def key_id(self) -> str:
        """As it is named in a signature."""
        return f"ST${self.text}"


def _modulus(jwk: str | dict[str, object] | None) -> int:
    if not jwk:
        return 0
    written = jwk.encode() if isinstance(jwk, str) else msgspec.json.encode(jwk)
    return int.from_bytes(_decoded(_read_key(written).n), "big")


def _decoded(text: str) -> bytes:
    # Both alphabets of base64 occur in real tokens, with padding and without.
    text = text.rstrip("=").replace("+", "-").replace("/", "_")
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except Base64Error:
        raise ValueError from None
