"""An instance that acts for a user, with a delegation token that others renew in its file."""

from __future__ import annotations

import time as wall
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from doubles.oci_identity import Identity, Rotation, private_key
from doubles.oci_metadata import OCIMetadata
from doubles.oci_platform import OCIPlatform
from doubles.serving import served
from doubles.time import Time
from embedway_upstream.credentials import principal
from embedway_upstream.credentials.delegated import Delegated
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.oci import OCISignature


@dataclass
class Delegation:
    """An instance, the file with its user's token, and the time."""

    metadata: OCIMetadata
    identity: Identity
    file: Path
    endpoint: str
    time: Time

    def give(self, life: float) -> str:
        """A new token in the file."""
        token = self.identity.token(private_key(5), life)
        self.file.write_text(token + "\n")
        return token

    def credentials(self) -> OCISignature:
        made = principal.delegation(token_file=str(self.file), federation_endpoint=self.endpoint)
        source = made._source
        assert isinstance(source, Delegated)
        source.clock = self.time
        return OCISignature(source, clock=self.time, elapsed=self.time)

    def sent(self, credentials: OCISignature) -> str:
        """The delegation token of a call whose signature is right."""
        headers = dict(credentials.sign("POST", "https://h.test/predict", {}, b"{}"))
        gate = OCIPlatform(None, identity=self.identity, clock=self.time)
        gate.verify("POST", "/predict", headers, b"{}")
        return headers["opc-obo-token"]


@pytest.fixture
def delegation(
    identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Delegation]:
    time = Time()
    time.now = wall.time()
    identity.clock = time
    app = OCIMetadata(identity)
    with served(app) as url:
        monkeypatch.setenv("OCI_METADATA_BASE_URL", f"{url}/opc/v2")
        yield Delegation(app, identity, tmp_path / "token", f"{url}/v1/x509", time)


def test_a_token_that_is_renewed_in_its_file_is_sent_soon(delegation: Delegation) -> None:
    first = delegation.give(1800)
    credentials = delegation.credentials()
    credentials.refresh()
    assert first == delegation.sent(credentials)
    assert not credentials.due()

    second = delegation.give(1800)
    delegation.time.now += 6
    assert credentials.due()
    assert not credentials.stale()
    credentials.refresh()

    assert second == delegation.sent(credentials)
    assert 1 == delegation.metadata.federations, "the machine's own token is as good as before"


def test_after_a_refusal_the_file_is_read_again(delegation: Delegation) -> None:
    delegation.give(1800)
    credentials = delegation.credentials()
    credentials.refresh()
    second = delegation.give(1800)

    credentials.refresh(force=True)

    assert second == delegation.sent(credentials)
    assert 2 == delegation.metadata.federations


def test_one_that_has_expired_is_told_and_not_sent(delegation: Delegation) -> None:
    delegation.give(1800)
    credentials = delegation.credentials()
    credentials.refresh()
    delegation.time.now += 1800

    assert credentials.stale()
    with pytest.raises(CredentialsError, match="in the file has expired") as caught:
        credentials.refresh()
    assert str(delegation.file) in caught.value.detail

    third = delegation.give(1800)
    delegation.time.now += 1.5
    credentials.refresh()
    assert third == delegation.sent(credentials)


def test_the_machines_own_token_is_renewed_before_it_ends(delegation: Delegation) -> None:
    obo = delegation.give(86_400)
    credentials = delegation.credentials()
    credentials.refresh()
    delegation.time.now += 3600 - 290
    assert not credentials.stale()
    credentials.refresh()

    assert 2 == delegation.metadata.federations
    delegation.time.now += 600
    assert not credentials.stale()
    assert obo == delegation.sent(credentials)


@pytest.mark.parametrize("content", ["", "eyJhbGciOiJSUzI1NiJ9.eyJle", "two\nlines", "ä"])
def test_a_file_that_is_half_written_replaces_nothing(
    delegation: Delegation, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = delegation.give(1800)
    credentials = delegation.credentials()
    credentials.refresh()
    delegation.file.write_text(content)
    delegation.time.now += 6
    credentials.refresh()
    assert first == delegation.sent(credentials)
    assert "the delegation token is not one" in caplog.text

    with pytest.raises(CredentialsError, match="half written"):
        delegation.credentials().refresh()


def test_a_token_that_was_given_and_has_expired(delegation: Delegation) -> None:
    over = delegation.identity.token(private_key(5), -1)
    credentials = principal.delegation(token=over, federation_endpoint=delegation.endpoint)

    with pytest.raises(CredentialsError, match="make the credentials anew") as caught:
        credentials.refresh()
    assert over not in str(caught.value)
    assert 0 == delegation.metadata.federations


def test_a_resource_that_acts_for_a_user(
    identity: Identity, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rotation = Rotation(tmp_path, identity, life=3600)
    rotation.turn()
    for name, value in {
        "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
        "OCI_RESOURCE_PRINCIPAL_RPST": str(rotation.token_file),
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": str(rotation.key_file),
    }.items():
        monkeypatch.setenv(name, value)
    time = Time()
    credentials = principal.delegation(token="obo", principal="resource")
    credentials = OCISignature(credentials._source, elapsed=time)
    credentials.refresh()
    rotation.turn()
    time.now += 6
    assert credentials.due()
    credentials.refresh()

    headers = dict(credentials.sign("POST", "https://h.test/predict", {}, b"{}"))
    OCIPlatform(None, identity=identity).verify("POST", "/predict", headers, b"{}")
    assert "obo" == headers["opc-obo-token"]
    assert rotation.token_file.read_text() in headers["authorization"]
