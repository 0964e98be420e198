from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from doubles.oci_identity import TENANCY, USER, pem, private_key
from embedway_upstream.credentials import principal


def test_a_fingerprint_of_another_key_is_doubted() -> None:
    key = private_key()
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    real = hashlib.md5(public, usedforsecurity=False).hexdigest()
    real = ":".join(real[place : place + 2] for place in range(0, 32, 2))
    fields = {"tenancy": TENANCY, "user": USER, "key_content": pem(key).decode()}
    wrong, right = (
        principal.api_key(fingerprint=one, **fields) for one in ("0f:" * 15 + "0f", real.upper())
    )
    before = wrong.doubt()
    wrong.refresh()
    right.refresh()

    assert before == ""
    assert real in wrong.doubt()
    assert right.doubt() == ""
