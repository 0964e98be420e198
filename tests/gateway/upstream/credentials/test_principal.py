"""Principals that ask a service for their tokens: the SDK's signers against stand-ins."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from oci.auth.signers import InstancePrincipalsSecurityTokenSigner, TokenExchangeSigner

from doubles.oci_identity import Identity
from doubles.oci_metadata import OCIMetadata
from doubles.serving import served
from embedway_upstream.credentials import principal
from embedway_upstream.credentials.accept import credentials_from
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.oci import OCISignature

URL = "https://h.test/predict"


@pytest.fixture
def metadata(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Any, str]]:
    app = OCIMetadata(identity)
    with served(app) as url:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{url}/opc/v2")
        yield app, url


def verify(credentials: Any, identity: Identity) -> dict[str, str]:
    from doubles.oci_platform import OCIPlatform

    headers = dict(credentials.sign("POST", URL, {}, b"{}"))
    OCIPlatform(None, identity=identity).verify("POST", "/predict", headers, b"{}")
    return headers


def test_an_instance(metadata: tuple[Any, str], identity: Identity) -> None:
    app, url = metadata
    credentials = principal.instance(federation_endpoint=f"{url}/v1/x509")
    assert 0 == app.federations

    credentials.refresh()
    first = verify(credentials, identity)
    credentials.refresh()
    assert 1 == app.federations
    credentials.refresh(force=True)

    assert 2 == app.federations
    assert first["authorization"] != verify(credentials, identity)["authorization"]


def test_an_instance_that_acts_for_a_user(metadata: tuple[Any, str], identity: Identity) -> None:
    _, url = metadata
    credentials = principal.delegation(token="obo", federation_endpoint=f"{url}/v1/x509")
    credentials.refresh()

    assert "obo" == verify(credentials, identity)["opc-obo-token"]


def test_a_token_exchange(metadata: tuple[Any, str], identity: Identity) -> None:
    app, url = metadata
    credentials = principal.token_exchange(
        domain_url=url, client_id="c", client_secret="s", token=lambda: "jwt"
    )
    credentials.refresh()
    verify(credentials, identity)
    credentials.refresh(force=True)
    verify(credentials, identity)

    assert 2 == app.federations


def test_no_metadata_service_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OCI_METADATA_BASE_URL", "http://127.0.0.1:1/opc/v2")
    monkeypatch.setattr("time.sleep", lambda _: None)

    with pytest.raises(CredentialsError, match="no OCI instance principal"):
        principal.instance().refresh()


def test_a_shared_signer_is_never_read_torn(metadata: tuple[Any, str], identity: Identity) -> None:
    """Others renew the signer all the time; what is taken fits, with the token's claim or not."""
    _, url = metadata
    shared = InstancePrincipalsSecurityTokenSigner(federation_endpoint=f"{url}/v1/x509")
    exchange = TokenExchangeSigner("jwt", url, "c", "s")
    plain = identity.token
    identity.token = lambda key, life: plain(key, life, jwk=None)  # type: ignore[method-assign, assignment]
    over = threading.Event()

    def renew(signer: Any) -> None:
        while not over.is_set():
            signer.refresh_security_token()

    threads = [threading.Thread(target=renew, args=(one,)) for one in (shared, exchange)]
    for thread in threads:
        thread.start()
    try:
        for signer in (shared, exchange):
            given = credentials_from(signer)
            assert isinstance(given, OCISignature)
            for _ in range(15):
                held = given._source.take(None, force=False)
                assert identity.issued[held.key_id[3:]].public_numbers() == (
                    held.key.public_key().public_numbers()
                )
    finally:
        over.set()
        for thread in threads:
            thread.join()
