"""A client certificate instead of a secret, against a token server that wants one."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from embedway_gateway.config.credential import AICoreConfig, make_credentials
from embedway_upstream.credentials.certificate import tls_context
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.oauth2 import ClientCredentials, Login

LOOPBACK = IPv4Address("127.0.0.1")


def test_a_certificate_is_loaded_from_text_and_files(tmp_path: Path) -> None:
    cert, key = pair()
    (tmp_path / "c.pem").write_text(cert)
    (tmp_path / "k.pem").write_text(key)
    texts = (cert, key)
    escaped = (cert.replace("\n", "\\n"), key.replace("\n", "\\n"))
    for one, other in (texts, escaped, (str(tmp_path / "c.pem"), str(tmp_path / "k.pem"))):
        login = Login(token_url="https://h/t", client_id="a", cert=one, key=other)
        assert isinstance(tls_context(login.cert, login.key), ssl.SSLContext)
        assert "BEGIN" not in repr(login)


@pytest.mark.parametrize("spoil", ["other", "gone", "encrypted", "rubbish"])
def test_a_bad_certificate_is_a_clear_error(spoil: str) -> None:
    cert, key = pair()
    if spoil == "other":
        key = pair()[1]
    elif spoil == "encrypted":
        key = pair(password=b"words")[1]
    elif spoil == "rubbish":
        key = "-----BEGIN nothing"
    else:
        cert, key = "/nowhere/c.pem", "/nowhere/k.pem"
    login = Login(token_url="https://h/t", client_id="a", cert=cert, key=key)
    with pytest.raises(CredentialsError, match="certificate"):
        ClientCredentials(login).refresh()


class _TokenServer(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["content-length"]))
        body = b'{"access_token":"with-a-certificate","expires_in":60}'
        self.send_response(400 if b"secret" in form else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture
def mutual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, str, str]]:
    """A token server that wants a certificate: its address, and the one it knows with its key."""
    own, own_key = pair()
    cert, key = pair()
    for name, content in (("own", own), ("own_key", own_key), ("known", cert)):
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "own"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "own", tmp_path / "own_key")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tmp_path / "known")
    with http.server.HTTPServer(("127.0.0.1", 0), _TokenServer) as server:
        # The handshake belongs to the request, not to the loop that accepts it.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/oauth/token", cert, key
        server.shutdown()
        thread.join(10)


def test_a_certificate_opens_the_token_server(mutual: tuple[str, str, str]) -> None:
    url, cert, key = mutual
    credentials = ClientCredentials(Login(token_url=url, client_id="a", cert=cert, key=key))
    credentials.refresh()
    assert "Bearer with-a-certificate" == credentials.sign("GET", "", {}, b"")["authorization"]


@pytest.mark.parametrize("escaped", [False, True], ids=["as JSON has it", "escaped once more"])
def test_a_service_key_with_a_certificate_opens_it(
    mutual: tuple[str, str, str], escaped: bool
) -> None:
    """What a configuration says; escaped twice is how such keys come out of some secret stores."""
    url, cert, key = mutual
    if escaped:
        cert, key = cert.replace("\n", "\\n"), key.replace("\n", "\\n")
    text = json.dumps({"clientid": "a", "certurl": url, "certificate": cert, "key": key})
    config = AICoreConfig.model_validate({"type": "aicore", "service_key": text})

    credentials = make_credentials(config)
    credentials.refresh()

    assert "Bearer with-a-certificate" == credentials.sign("GET", "", {}, b"")["authorization"]
    assert "BEGIN" not in f"{config!r} {credentials!r}"


def pair(*, password: bytes | None = None) -> tuple[str, str]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.now(UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(LOOPBACK)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    how: Any = serialization.NoEncryption()
    if password:
        how = serialization.BestAvailableEncryption(password)
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, how)
    return cert.public_bytes(pem).decode(), private.decode()
