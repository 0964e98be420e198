"""What OCI credentials must never do: show a secret, sign what came in, or ask without end."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from oci.auth.signers import SecurityTokenSigner

from doubles.oci_identity import (
    FINGERPRINT,
    TENANCY,
    USER,
    Identity,
    pem,
    private_key,
    write_api_key,
    write_profile,
)
from doubles.time import Time
from embedway_upstream import Bearer, EmbeddingRequest, Endpoint, HTTPReply, OpenAI, Plain
from embedway_upstream.credentials import principal
from embedway_upstream.credentials.accept import credentials_from
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.files import SessionProfile, TokenFiles
from embedway_upstream.credentials.oci import OCISignature

SECRET = "correct-horse-battery"


def test_secrets_are_never_shown_nor_pickled(tmp_path: Path, identity: Identity) -> None:
    content = pem(private_key(), SECRET).decode()
    token = identity.token(private_key(), 3600)
    many = [
        principal.api_key(
            tenancy="t", user="u", fingerprint="f", key_content=content, pass_phrase=SECRET
        ),
        principal.api_key(config_file=str(write_api_key(tmp_path)), pass_phrase=SECRET),
        principal.session(pass_phrase=SECRET),
        principal.delegation(token=SECRET),
        principal.token_exchange(
            domain_url="https://u", client_id="c", client_secret=SECRET, token=SECRET
        ),
        OCISignature(TokenFiles(token=token, key=content, pass_phrase=SECRET)),
        credentials_from(SecurityTokenSigner(token, private_key())),
    ]
    for credentials in many:
        assert isinstance(credentials, OCISignature)
        source = credentials._source
        held = None
        if "profile" not in repr(source).lower() and "Principal" not in repr(source):
            held = source.take(None, force=False)
        for shown in (credentials, source, held):
            text = f"{shown!r} {shown!s}"
            assert SECRET not in text
            assert token not in text
            assert "BEGIN" not in text
            if shown is not None:
                with pytest.raises(TypeError, match="not pickled"):
                    pickle.dumps(shown)


def of_fields(secret: str, _folder: Path) -> OCISignature:
    return principal.api_key(tenancy="t", user="u", fingerprint="f", key_file=secret)


def of_a_profile(secret: str, folder: Path) -> OCISignature:
    entries = {"user": USER, "tenancy": TENANCY, "fingerprint": FINGERPRINT}
    escaped = secret.replace("\n", "\\n")
    return principal.api_key(config_file=str(write_profile(folder, key_file=escaped, **entries)))


def of_a_session(secret: str, folder: Path) -> OCISignature:
    entries = {"fingerprint": FINGERPRINT, "tenancy": TENANCY, "key_file": str(folder / "none")}
    text = secret.replace("\n", "\\n")
    file = str(write_profile(folder, security_token_file=text, **entries))
    return OCISignature(SessionProfile(file=file, profile="DEFAULT", sleep=lambda _seconds: None))


def of_a_file(secret: str, _folder: Path) -> OCISignature:
    return principal.api_key(config_file=secret)


def of_a_delegation(secret: str, _folder: Path) -> OCISignature:
    return principal.delegation(token_file=secret)


def of_an_exchange(secret: str, _folder: Path) -> OCISignature:
    return principal.token_exchange(
        domain_url="http://127.0.0.1:1", client_id="c", client_secret="s", token_file=secret
    )


@pytest.mark.parametrize(
    "given",
    [of_fields, of_a_profile, of_a_session, of_a_file, of_a_delegation, of_an_exchange],
)
@pytest.mark.parametrize("what", ["key", "token", "something long"])
def test_a_secret_that_stands_where_its_file_belongs_is_not_told(
    given: Callable[[str, Path], OCISignature],
    what: str,
    tmp_path: Path,
    identity: Identity,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As `${TOKEN}` puts it there, where the variable holds the token and not its file."""
    caplog.set_level(logging.DEBUG)
    secrets = {
        "key": pem(private_key()).decode(),
        "token": identity.token(private_key(), 3600),
        "something long": "x" * 250,
    }
    secret = secrets[what]
    credentials = given(secret, tmp_path)

    with pytest.raises(CredentialsError, match="cannot be read") as caught:
        credentials.refresh()

    error = caught.value
    shown = f"{error} {error!r} {error.detail} {error.message} {credentials!r} {caplog.text}"
    for start in range(0, len(secret) - 40, 40):
        assert secret[start : start + 40] not in shown
    assert "given as text" in error.detail or "characters that are not shown" in error.detail


def test_a_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(CredentialsError) as caught:
        principal.api_key(config_file=str(tmp_path / "none")).refresh()
    assert str(tmp_path / "none") in caught.value.detail


def test_a_call_shows_neither_credentials_nor_texts() -> None:
    key = pem(private_key(), SECRET).decode()
    phrase = TokenFiles(token="t", key=key, pass_phrase_file=SECRET)
    endpoint = Endpoint(
        name="up", engine=OpenAI(), platform=Plain("http://h.test"), credentials=Bearer(SECRET)
    )
    call = endpoint.call(EmbeddingRequest("m", ("a text of a user",)))
    reply = HTTPReply(200, {"server": "x"}, b"vectors of a text of a user")

    for one in (call, reply, phrase):
        assert SECRET not in repr(one)
        assert "text of a user" not in repr(one)
    assert "http://h.test/v1/embeddings" in repr(call)
    assert "200" in repr(reply)


def test_nothing_that_came_in_is_signed(tmp_path: Path) -> None:
    credentials = principal.api_key(config_file=str(write_api_key(tmp_path)))
    credentials._clock = lambda: 1.7e9
    credentials.refresh()
    forged = {
        "date": "yesterday",
        "host": "evil.test",
        "authorization": "Basic x",
        "x-content-sha256": "forged",
        "content-length": "1",
        "opc-obo-token": "x",
    }

    assert credentials.sign("POST", "https://h.test/x", forged, b"{}") == (
        credentials.sign("POST", "https://h.test/x", {}, b"{}")
    )


def test_a_failure_is_not_repeated_by_every_request(tmp_path: Path) -> None:
    time = Time()
    missing = SessionProfile(file=str(tmp_path / "none"), profile="DEFAULT")
    credentials = OCISignature(missing, clock=time, elapsed=time)
    for _ in range(5):
        with pytest.raises(CredentialsError):
            credentials.refresh()
    assert 1 == credentials.refreshes
    time.now += 2
    with pytest.raises(CredentialsError):
        credentials.refresh()
    assert 2 == credentials.refreshes
