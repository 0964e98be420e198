"""Our signatures, against the SDK's own and against a verifier that has only the public key."""

from __future__ import annotations

from email.utils import formatdate
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oci._vendor import requests
from oci.auth.signers import SecurityTokenSigner
from oci.auth.signers.ephemeral_resource_principals_delegation_token_signer import (
    EphemeralResourcePrincipalsDelegationTokenSigner as DelegationSigner,
)
from oci.signer import Signer

from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, Identity, pem, private_key
from doubles.oci_platform import OCIPlatform
from embedway_upstream.credentials.signature import sign
from embedway_upstream.credentials.snapshot import Snapshot

SDK = Signer(TENANCY, USER, FINGERPRINT, None, private_key_content=pem(private_key()))
TOKEN = Identity().token(private_key(), 3600)
HOST = "https://modeldeployment.us-ashburn-1.oci.customer-oci.com"

segments = st.text("abcXYZ0189._~-", min_size=1, max_size=12).filter(lambda s: set(s) != {"."})
paths = st.lists(segments, max_size=4).map(lambda parts: "/" + "/".join(parts))
queries = st.lists(st.tuples(segments, segments), max_size=3).map(
    lambda pairs: "&".join(f"{name}={value}" for name, value in pairs)
)
methods = st.sampled_from(["GET", "HEAD", "DELETE", "POST", "PUT", "PATCH", "post", "get"])
dates = st.floats(0, 4e9).map(lambda moment: formatdate(moment, usegmt=True))
types = st.sampled_from(
    ["application/json", "text/plain; charset=utf-8", "application/octet-stream"]
)


def sdk_headers(
    signer: object, method: str, url: str, body: bytes, date: str, content_type: str
) -> dict[str, str]:
    given = {"date": date, "content-type": content_type}
    request = requests.Request(method, url, headers=given, data=body).prepare()
    signed = signer(request)  # type: ignore[operator]
    assert url == signed.url
    return {name.lower(): value for name, value in signed.headers.items()}


@settings(max_examples=150, deadline=None)
@given(methods, paths, queries, st.binary(max_size=200), dates, types, st.booleans())
def test_our_headers_are_the_sdks_byte_for_byte(
    method: str, path: str, query: str, body: bytes, date: str, content_type: str, token: bool
) -> None:
    url = HOST + path + (f"?{query}" if query else "")
    signer = SecurityTokenSigner(TOKEN, private_key()) if token else SDK
    snapshot = Snapshot(key_id=f"ST${TOKEN}" if token else KEY_ID, key=private_key())

    ours = sign(snapshot, method, url, body, content_type=content_type, date=date)

    theirs = sdk_headers(signer, method, url, body, date, content_type)
    assert theirs["authorization"] == ours["authorization"]
    assert ours == {name: theirs[name] for name in ours}


def test_a_delegation_token_is_sent_and_signed_as_the_sdk_does() -> None:
    signer = DelegationSigner(
        session_token=TOKEN, private_key=pem(private_key()).decode(), delegation_token="obo.t.k"
    )
    snapshot = Snapshot(key_id=f"ST${TOKEN}", key=private_key(), on_behalf_of="obo.t.k")
    date = formatdate(1.7e9, usegmt=True)

    ours = sign(snapshot, "POST", HOST + "/x", b"{}", content_type="application/json", date=date)

    theirs = sdk_headers(signer, "POST", HOST + "/x", b"{}", date, "application/json")
    assert theirs["authorization"] == ours["authorization"]
    assert "obo.t.k" == ours["opc-obo-token"]


@settings(max_examples=50, deadline=None)
@given(methods, paths, queries, st.binary(max_size=200), st.floats(1e9, 2e9))
def test_a_verifier_with_the_public_key_accepts_them(
    method: str, path: str, query: str, body: bytes, moment: float
) -> None:
    url = HOST + path + (f"?{query}" if query else "")
    snapshot = Snapshot(key_id=KEY_ID, key=private_key())
    date = formatdate(moment, usegmt=True)

    headers = sign(snapshot, method, url, body, content_type="application/json", date=date)

    keys = {KEY_ID: private_key().public_key()}
    platform = OCIPlatform(None, keys=keys, clock=lambda: moment)
    parts = urlsplit(url)
    assert parts.netloc == headers["host"]
    target = parts.path + (f"?{query}" if query else "")
    platform.verify(method.upper(), target, headers, body)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "P\nOST"])
def test_other_methods_are_refused_as_the_sdk_refuses_them(method: str) -> None:
    snapshot = Snapshot(key_id=KEY_ID, key=private_key())

    with pytest.raises(ValueError, match="no signature"):
        sign(snapshot, method, HOST, b"", content_type="application/json", date="x")


@pytest.mark.parametrize("value", ["text/plain\nhost: evil", "ü"])
def test_nothing_can_be_smuggled_into_what_is_signed(value: str) -> None:
    snapshot = Snapshot(key_id=KEY_ID, key=private_key())

    with pytest.raises(ValueError, match="header"):
        sign(snapshot, "POST", HOST, b"", content_type=value, date="x")
