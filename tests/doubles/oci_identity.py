"""A stand-in for OCI's identity service: keys, security tokens, and the files that hold them."""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

TENANCY = "ocid1.tenancy.oc1..aaaatenancy"
USER = "ocid1.user.oc1..aaaauser"
FINGERPRINT = ":".join(["0f"] * 16)
KEY_ID = f"{TENANCY}/{USER}/{FINGERPRINT}"


def private_key(number: int = 0) -> rsa.RSAPrivateKey:
    """The same key for the same number; making one takes a tenth of a second."""
    return _made(number)


@cache
def _made(number: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey, pass_phrase: str | None = None) -> bytes:
    secret = BestAvailableEncryption(pass_phrase.encode()) if pass_phrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


def jwk(key: rsa.RSAPrivateKey | rsa.RSAPublicKey) -> dict[str, str]:
    public = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
    numbers = public.public_numbers()
    return {
        "kty": "RSA",
        "n": _encoded(numbers.n.to_bytes(public.key_size // 8, "big")),
        "e": _encoded(numbers.e.to_bytes(3, "big")),
    }


@dataclass
class Identity:
    """Issues tokens, and remembers for which key. A claim of None is left out."""

    clock: Callable[[], float] = time.time
    issued: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)
    _number: itertools.count[int] = field(default_factory=itertools.count)

    def token(
        self, key: rsa.RSAPrivateKey | rsa.RSAPublicKey, life: float, **claims: object
    ) -> str:
        now = self.clock()
        content = {
            "sub": "ocid1.instance.oc1..aaaa",
            "jti": next(self._number),
            "iat": int(now),
            "exp": int(now + life),
            "res_tenant": TENANCY,
            "jwk": json.dumps(jwk(key)),
            **claims,
        }
        content = {name: value for name, value in content.items() if value is not None}
        parts = [{"alg": "RS256", "kid": "asw"}, content]
        text = ".".join([*(_encoded(json.dumps(part).encode()) for part in parts), "c2ln"])
        self.issued[text] = key.public_key() if isinstance(key, rsa.RSAPrivateKey) else key
        return text


@dataclass
class Rotation:
    """A token file and a key file, which are replaced one after the other."""

    folder: Path
    identity: Identity
    life: float
    gap: float = 0.03
    turns: int = 0

    @property
    def token_file(self) -> Path:
        return self.folder / "rpst"

    @property
    def key_file(self) -> Path:
        return self.folder / "session.pem"

    def turn(self) -> None:
        """The next pair; between the two files' replacements the old token is with the new key."""
        key = private_key(self.turns % 4)
        token = self.identity.token(key, self.life)
        _replace(self.key_file, pem(key))
        if self.turns:
            time.sleep(self.gap)
        _replace(self.token_file, token.encode())
        self.turns += 1


def write_profile(folder: Path, **entries: str) -> Path:
    """A configuration file with one profile, DEFAULT."""
    file = folder / "config"
    lines = [f"{name}={value}" for name, value in entries.items()]
    file.write_text("\n".join(["[DEFAULT]", *lines, ""]))
    return file


def write_api_key(folder: Path, pass_phrase: str | None = None, number: int = 0) -> Path:
    """A profile with an API key."""
    file = folder / "key.pem"
    file.write_bytes(pem(private_key(number), pass_phrase))
    extra = {"pass_phrase": pass_phrase} if pass_phrase else {}
    return write_profile(
        folder,
        user=USER,
        tenancy=TENANCY,
        fingerprint=FINGERPRINT,
        key_file=str(file),
        region="us-ashburn-1",
        **extra,
    )


def _replace(file: Path, content: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
