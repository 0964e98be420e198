"""
OCI's request signature: draft-cavage-http-signatures with RSA PKCS#1 v1.5 and SHA-256.

Source: `oci/signer.py` of the SDK, 2.189, whose headers these equal byte for byte.
https://docs.oracle.com/en-us/iaas/Content/API/Concepts/signingrequests.htm
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

if TYPE_CHECKING:
    from embedway_upstream.credentials.snapshot import Snapshot

__all__ = ["sign"]

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_METHODS = _WITH_BODY | {"GET", "HEAD", "DELETE"}
_PADDING = PKCS1v15()
_HASH = SHA256()


def sign(
    snapshot: Snapshot, method: str, url: str, body: bytes, *, content_type: str, date: str
) -> dict[str, str]:
    """
    The headers of a request, signed: `date`, `host` and `authorization`; with POST, PUT and PATCH
    also `content-length`, `content-type` and `x-content-sha256`.

    `url` must be what is sent, byte for byte. Raises `ValueError` for other methods, as the SDK
    does, and for what no header can carry.
    """
    method = method.upper()
    if method not in _METHODS:
        raise ValueError(f"the platform has no signature for {method[:16]!r} requests")
    if "\n" in url or "\n" in content_type or not (url.isascii() and content_type.isascii()):
        raise ValueError("the URL or the content type has characters that no header can carry")
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"date": date, "host": parts.netloc}
    names = "date (request-target) host"
    lines = [
        f"date: {date}",
        f"(request-target): {method.lower()} {target}",
        f"host: {parts.netloc}",
    ]
    extra: dict[str, str] = {}
    if snapshot.on_behalf_of is not None:
        extra["opc-obo-token"] = snapshot.on_behalf_of
    if method in _WITH_BODY:
        extra["content-length"] = str(len(body))
        extra["content-type"] = content_type
        extra["x-content-sha256"] = b64encode(sha256(body).digest()).decode()
    for name, value in extra.items():
        names += f" {name}"
        lines.append(f"{name}: {value}")
    signature = snapshot.key.sign("\n".join(lines).encode("ascii"), _PADDING, _HASH)
    headers.update(extra)
    headers["authorization"] = (
        f'Signature algorithm="rsa-sha256",headers="{names}",keyId="{snapshot.key_id}",'
        f'signature="{b64encode(signature).decode()}",version="1"'
    )
    return headers
