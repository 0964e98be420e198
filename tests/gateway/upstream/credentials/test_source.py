"""Every kind of OCI credentials: what it gives, and what it says when it cannot."""

from __future__ import annotations

import sys
import time as wall
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from oci.auth.signers import EphemeralResourcePrincipalSigner, SecurityTokenSigner
from oci.signer import Signer

from doubles.oci_identity import (
    FINGERPRINT,
    KEY_ID,
    TENANCY,
    USER,
    Identity,
    Rotation,
    pem,
    private_key,
    write_api_key,
    write_profile,
)
from doubles.time import Time
from embedway_upstream import Anonymous, Bearer
from embedway_upstream.credentials import principal
from embedway_upstream.credentials.accept import credentials_from
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.files import SessionProfile, TokenFiles
from embedway_upstream.credentials.oci import OCISignature
from embedway_upstream.credentials.sdk import SignerSource

SECRET = "correct-horse-battery"


def key_id(credentials: OCISignature) -> str:
    credentials.refresh()
    header = credentials.sign("POST", "https://h.test/x", {}, b"")["authorization"]
    return header.split('keyId="')[1].split('"')[0]


def complaint(credentials: OCISignature) -> str:
    with pytest.raises(CredentialsError) as caught:
        credentials.refresh()
    text = f"{caught.value} {caught.value!r} {caught.value.message} {caught.value.detail}"
    assert SECRET not in text
    assert "BEGIN" not in text
    return caught.value.message


def test_a_profile_with_an_api_key(tmp_path: Path) -> None:
    assert KEY_ID == key_id(principal.api_key(config_file=str(write_api_key(tmp_path))))


def test_a_key_with_a_pass_phrase(tmp_path: Path) -> None:
    file = str(write_api_key(tmp_path, pass_phrase=SECRET))
    assert KEY_ID == key_id(principal.api_key(config_file=file))
    assert "check pass_phrase" in complaint(
        principal.api_key(config_file=file, pass_phrase="another")
    )
    Path(file).write_text(Path(file).read_text().replace(f"pass_phrase={SECRET}", ""))
    assert "set pass_phrase" in complaint(principal.api_key(config_file=file))


def test_a_pass_phrase_that_is_not_needed_is_ignored(tmp_path: Path) -> None:
    file = str(write_api_key(tmp_path))
    assert KEY_ID == key_id(principal.api_key(config_file=file, pass_phrase=SECRET))


def test_the_fields_themselves() -> None:
    content = pem(private_key(), SECRET).decode()
    given = principal.api_key(
        tenancy=TENANCY, user=USER, fingerprint=FINGERPRINT, key_content=content, pass_phrase=SECRET
    )
    assert KEY_ID == key_id(given)


def test_a_replaced_key_is_read_when_the_old_one_is_refused(tmp_path: Path) -> None:
    credentials = principal.api_key(config_file=str(write_api_key(tmp_path)))
    credentials.refresh()
    before = credentials.sign("GET", "https://h.test/", {}, b"")
    write_api_key(tmp_path, number=1)

    credentials.refresh(force=True)

    assert (
        before["authorization"]
        != credentials.sign("GET", "https://h.test/", {}, b"")["authorization"]
    )


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        (None, "configuration file cannot be read"),
        ("[OTHER]\nuser=x\n", "has no fingerprint"),
        (f"[DEFAULT]\npass_phrase\n{SECRET}\n", "not `name=value`"),
        ("[DEFAULT]\nfingerprint=a\ntenancy=b\nuser=c\nkey_file=/nowhere\n", "private key cannot"),
        ("[DEFAULT]\nfingerprint=a\ntenancy=b\nkey_file=k\n", "has no user"),
        (
            "[DEFAULT]\nfingerprint=a\ntenancy=b\nkey_file=k\nsecurity_token_file=t\n",
            "principal session",
        ),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, content: str | None, cure: str) -> None:
    file = tmp_path / "config"
    if content is not None:
        file.write_text(content)
    assert cure in complaint(principal.api_key(config_file=str(file)))


def test_an_unknown_profile_is_named_in_the_detail(tmp_path: Path) -> None:
    file = write_api_key(tmp_path)
    credentials = principal.api_key(config_file=str(file), profile="PROD")
    with pytest.raises(CredentialsError, match=r"'PROD' in .*, which has DEFAULT") as caught:
        credentials.refresh()
    assert str(file) not in caught.value.message


@pytest.mark.parametrize("content", [b"", b"x", pem(private_key())[:300]])
def test_a_damaged_key_is_told(tmp_path: Path, content: bytes) -> None:
    file = write_api_key(tmp_path)
    (tmp_path / "key.pem").write_bytes(content)
    assert "not a PEM file, or damaged" in complaint(principal.api_key(config_file=str(file)))


def session(
    tmp_path: Path, rotation: Rotation, clock: Callable[[], float] = wall.time
) -> OCISignature:
    file = write_profile(
        tmp_path,
        fingerprint=FINGERPRINT,
        tenancy=TENANCY,
        key_file=str(rotation.key_file),
        security_token_file=str(rotation.token_file),
    )
    source = SessionProfile(file=str(file), profile="DEFAULT", sleep=lambda _: None)
    return OCISignature(source, clock=clock, elapsed=clock)


def test_a_session(tmp_path: Path, identity: Identity) -> None:
    rotation = Rotation(tmp_path, identity, life=3600)
    rotation.turn()
    time = Time()
    time.now = wall.time()
    credentials = session(tmp_path, rotation, time)
    assert key_id(credentials) == f"ST${rotation.token_file.read_text()}"
    first = rotation.token_file.read_text()
    rotation.turn()
    assert key_id(credentials) == f"ST${first}"
    time.now += 6
    assert credentials.due()
    assert not credentials.stale()
    assert key_id(credentials) == f"ST${rotation.token_file.read_text()}"


def test_an_expired_session_says_what_to_run(tmp_path: Path, identity: Identity) -> None:
    rotation = Rotation(tmp_path, identity, life=-5)
    rotation.turn()
    assert "oci session authenticate" in complaint(session(tmp_path, rotation))


@pytest.mark.parametrize("content", ["", "a.b.c", "not a token", "a.e30.c", "a.é.c"])
def test_a_file_without_a_token_is_told(tmp_path: Path, identity: Identity, content: str) -> None:
    rotation = Rotation(tmp_path, identity, life=3600)
    rotation.turn()
    rotation.token_file.write_text(content, encoding="utf-8")
    assert "token is not one" in complaint(session(tmp_path, rotation))


def test_a_pair_that_does_not_fit_is_never_used(tmp_path: Path, identity: Identity) -> None:
    rotation = Rotation(tmp_path, identity, life=3600)
    rotation.turn()
    rotation.key_file.write_bytes(pem(private_key(3)))
    assert "different sessions" in complaint(session(tmp_path, rotation))


def environment(rotation: Rotation, **more: str) -> dict[str, str]:
    return {
        "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
        "OCI_RESOURCE_PRINCIPAL_RPST": str(rotation.token_file),
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": str(rotation.key_file),
        **more,
    }


def test_a_resource_principal_of_files_with_a_pass_phrase_file(
    tmp_path: Path, identity: Identity
) -> None:
    rotation = Rotation(tmp_path, identity, life=3600)
    rotation.turn()
    rotation.key_file.write_bytes(pem(private_key(), SECRET))
    (tmp_path / "phrase").write_text(SECRET + "\n")
    name = "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE"
    credentials = principal.resource(environment(rotation, **{name: str(tmp_path / "phrase")}))
    assert key_id(credentials) == f"ST${rotation.token_file.read_text()}"
    assert "expired" in complaint(
        OCISignature(
            TokenFiles(token=identity.token(private_key(), -1), key=pem(private_key()).decode())
        )
    )


def test_a_resource_principal_of_texts(identity: Identity) -> None:
    token = identity.token(private_key(), 3600)
    found = {
        "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
        "OCI_RESOURCE_PRINCIPAL_RPST": token,
        "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": pem(private_key()).decode(),
    }
    assert f"ST${token}" == key_id(principal.resource(found))


def test_no_principal_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OCI_RESOURCE_PRINCIPAL_VERSION", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    assert "no OCI resource principal here" in complaint(principal.resource())
    assert "no OCI resource principal here" in complaint(
        principal.delegation(token="t", principal="resource")
    )
    assert "no OKE workload identity here" in complaint(principal.oke_workload())
    # As where it is not installed.
    for module in [name for name in sys.modules if name.partition(".")[0] == "ads"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "ads", None)
    with pytest.raises(CredentialsError, match="pip install oracle-ads"):
        principal.ads().refresh()


def test_signers_of_the_sdk_and_the_dict_of_ads(
    identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = Signer(TENANCY, USER, FINGERPRINT, None, private_key_content=pem(private_key()))
    for value in (signer, {"signer": signer, "config": {}}):
        given = credentials_from(value)
        assert isinstance(given, OCISignature)
        assert KEY_ID == key_id(given)
    auth = types.ModuleType("ads.common.auth")
    auth.default_signer = lambda: {"signer": signer}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ads", types.ModuleType("ads"))
    monkeypatch.setitem(sys.modules, "ads.common", types.ModuleType("ads.common"))
    monkeypatch.setitem(sys.modules, "ads.common.auth", auth)
    assert KEY_ID == key_id(principal.ads())
    over = SecurityTokenSigner(identity.token(private_key(), -1), private_key())
    assert "cannot renew it" in complaint(OCISignature(SignerSource(over)))
    torn = SecurityTokenSigner(identity.token(private_key(), 60), private_key(1))
    assert "not issued for its key" in complaint(OCISignature(SignerSource(torn)))


def test_a_signer_of_the_sdk_is_renewed(tmp_path: Path, identity: Identity) -> None:
    rotation = Rotation(tmp_path, identity, life=3600)
    rotation.turn()
    signer = EphemeralResourcePrincipalSigner(str(rotation.token_file), str(rotation.key_file))
    credentials = OCISignature(SignerSource(signer))
    assert key_id(credentials) == f"ST${rotation.token_file.read_text()}"
    rotation.turn()
    credentials.refresh(force=True)
    sent = credentials.sign("GET", "https://h.test/", {}, b"")["authorization"]
    assert rotation.token_file.read_text() in sent


def test_what_is_accepted_as_credentials() -> None:
    assert isinstance(credentials_from(None), Anonymous)
    bearer = Bearer(SECRET)
    assert bearer is credentials_from(bearer)
    for value in (SECRET, {"token": SECRET}, 5):
        with pytest.raises(TypeError, match="not understood") as caught:
            credentials_from(value)
        assert SECRET not in str(caught.value)
