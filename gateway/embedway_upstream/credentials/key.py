"""Reads a private key, and says what is wrong with one that cannot be used."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from embedway_upstream.credentials.error import CredentialsError

__all__ = ["fingerprint_of", "load_key"]


def load_key(pem: bytes, pass_phrase: str | None, *, where: str) -> RSAPrivateKey:
    """
    The RSA key of a PEM text. A pass phrase that the key does not need is ignored: profiles
    inherit it from `[DEFAULT]`. Raises `CredentialsError`; `where` is named in its detail.
    """
    secret = pass_phrase.encode() if pass_phrase else None
    try:
        key = _load(pem.strip(), secret)
    except TypeError:
        raise CredentialsError(
            "the OCI private key is encrypted: set pass_phrase", detail=where
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CredentialsError(_complaint(pem, secret), detail=where) from None
    if not isinstance(key, RSAPrivateKey):
        raise CredentialsError("the OCI private key is not an RSA key", detail=where)
    return key


def fingerprint_of(key: RSAPrivateKey) -> str:
    """As the console shows it: MD5 of the public key, `aa:bb:…`."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.md5(public, usedforsecurity=False).digest().hex(":")


def _load(pem: bytes, secret: bytes | None) -> object:
    if secret is None:
        return load_pem_private_key(pem, None)
    try:
        return load_pem_private_key(pem, secret)
    except TypeError:
        return load_pem_private_key(pem, None)


def _complaint(pem: bytes, secret: bytes | None) -> str:
    try:
        load_pem_public_key(pem.strip())
    except (ValueError, UnsupportedAlgorithm):
        pass
    else:
        return "a public key was given as the OCI private key: name the file with the private key"
    if secret is not None and b"ENCRYPTED" in pem:
        return "the pass phrase does not open the OCI private key: check pass_phrase"
    return "the OCI private key cannot be read: it is not a PEM file, or damaged"
