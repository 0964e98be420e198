"""A token of another identity provider, exchanged at an identity domain that checks everything."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doubles.oci_domain import OCIDomain
from doubles.oci_identity import Identity
from doubles.oci_platform import OCIPlatform
from doubles.serving import free_port, served
from embedway_gateway.config.credential import OCIConfig, make_credentials
from embedway_upstream.credentials import principal
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.exchange import TokenExchange
from embedway_upstream.credentials.oci import OCISignature

SECRET = "planted-secret"


@pytest.fixture
def domain(identity: Identity) -> Iterator[tuple[OCIDomain, str]]:
    app = OCIDomain(identity)
    with served(app) as url:
        yield app, url


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.write_text("jwt-1\n")
    return file


def configured(url: str, file: Path, **changes: Any) -> Any:
    values = {
        "type": "oci",
        "principal": "token_exchange",
        "domain_url": url,
        "client_id": "client",
        "client_secret": SECRET,
        "token_file": str(file),
        **changes,
    }
    return make_credentials(OCIConfig.model_validate(values))


def verdict(credentials: Any, identity: Identity) -> str:
    """The token that a verified signature was made under."""
    headers = dict(credentials.sign("POST", "https://h.test/predict", {}, b"{}"))
    OCIPlatform(None, identity=identity).verify("POST", "/predict", headers, b"{}")
    return headers["authorization"].split('"ST$')[1].split('"')[0]


def complaint(credentials: OCISignature) -> str:
    with pytest.raises(CredentialsError) as caught:
        credentials.refresh(force=True)
    text = f"{caught.value} {caught.value!r} {caught.value.message} {caught.value.detail}"
    assert "planted" not in text
    assert "jwt" not in text
    return f"{caught.value.message} ({caught.value.detail})"


def test_what_is_exchanged_signs_for_oci(
    domain: tuple[OCIDomain, str], token_file: Path, identity: Identity
) -> None:
    app, url = domain
    credentials = configured(url + "/", token_file)
    assert [] == app.forms, "nothing is asked before the first call"

    credentials.refresh()
    first = verdict(credentials, identity)
    credentials.refresh()

    assert ["/oauth2/v1/token"] == app.paths
    assert "jwt-1" == app.forms[0]["subject_token"]
    credentials.refresh(force=True)
    assert first != verdict(credentials, identity)
    assert app.forms[0]["public_key"] != app.forms[1]["public_key"], "a session key of its own"


def test_a_replaced_token_is_read_for_the_next_exchange(
    domain: tuple[OCIDomain, str], token_file: Path, identity: Identity
) -> None:
    """As Kubernetes replaces a projected token; the old one is refused by then."""
    app, url = domain
    credentials = configured(url, token_file)
    credentials.refresh()
    app.trusted = {"jwt-2"}
    token_file.write_text("jwt-2\n")

    credentials.refresh(force=True)

    assert "jwt-2" == app.forms[-1]["subject_token"]
    verdict(credentials, identity)


def test_a_token_that_can_be_called_is_asked_for_each_exchange(
    domain: tuple[OCIDomain, str], identity: Identity
) -> None:
    app, url = domain
    tokens = iter(["jwt-1", "jwt-2"])
    app.trusted = {"jwt-1", "jwt-2"}
    credentials = principal.token_exchange(
        domain_url=url, client_id="client", client_secret=SECRET, token=lambda: next(tokens)
    )
    credentials.refresh()
    credentials.refresh(force=True)

    assert ["jwt-1", "jwt-2"] == [form["subject_token"] for form in app.forms]
    verdict(credentials, identity)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client_secret": "planted-other"}, "client's id and secret.*HTTPError 401"),
        ({"token_file": "/nowhere/token"}, "file with the token to exchange cannot be read"),
        ({"domain_url": f"http://127.0.0.1:{free_port()}"}, "domain's URL.*ConnectionError"),
    ],
)
def test_what_went_wrong_is_told(
    domain: tuple[OCIDomain, str], token_file: Path, changes: dict[str, str], says: str
) -> None:
    assert re.search(says, complaint(configured(domain[1], token_file, **changes)))


def test_a_token_that_the_domain_does_not_trust(
    domain: tuple[OCIDomain, str], token_file: Path
) -> None:
    token_file.write_text("jwt-unknown")
    assert "HTTPError 400" in complaint(configured(domain[1], token_file))


def test_a_domain_that_points_elsewhere_is_not_followed(
    domain: tuple[OCIDomain, str], token_file: Path
) -> None:
    """The other identity provider's token would go with it."""
    app, url = domain
    app.faults.append(307)
    complaint(configured(url, token_file))
    assert ["/oauth2/v1/token"] == app.paths


def test_a_silent_domain_is_given_up(
    domain: tuple[OCIDomain, str], token_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's own signer waits for it without end."""
    monkeypatch.setattr("embedway_upstream.credentials.exchange._SECONDS", (5, 0.1))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        assert "ReadTimeout" in complaint(configured(url, token_file))


@pytest.mark.parametrize(
    "url",
    [
        "idcs-0123",
        "http://domain.example",
        "https://user:word@domain.example",
        "https://domain.example/oauth2/v1/token",
        "https://domain.example?x=1",
    ],
)
def test_where_a_secret_must_not_go_is_refused_at_once(url: str, token_file: Path) -> None:
    with pytest.raises(ValueError, match="domain_url"):
        configured(url, token_file)


def test_either_a_token_or_a_file() -> None:
    for given in ({}, {"token": "a", "token_file": "b"}):
        with pytest.raises(ValueError, match="either token or token_file"):
            principal.token_exchange(
                domain_url="https://d.example", client_id="c", client_secret="s", **given
            )


def test_the_sdks_signer_keeps_its_session_where_ours_bounds_it(
    domain: tuple[OCIDomain, str],
) -> None:
    """An SDK that keeps it elsewhere would wait without end again."""
    signer = TokenExchange("jwt-1", domain[1], "client", SECRET)
    assert signer.requests_session.post.keywords["allow_redirects"] is False
