"""`rediss://` speaks to nobody whose certificate is not trusted for that very host."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from doubles.oci_identity import pem, private_key
from doubles.redis_server import PASSWORD, running_redis
from doubles.serving import free_port
from embedway_gateway.cache.redis import RedisStore
from embedway_gateway.metric import Metrics

KEY = b"k" * 32


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of localhost, by nobody."""
    key = private_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    start = datetime.now(UTC) - timedelta(hours=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(pem(key) + signed.public_bytes(Encoding.PEM))
    return path


@pytest.fixture(scope="module")
def port(certificate: Path) -> Iterator[int]:
    port, file = free_port(), str(certificate)
    tls = ["--tls-port", str(port), "--tls-cert-file", file, "--tls-key-file", file]
    with running_redis(certificate.parent, *tls, "--tls-auth-clients", "no"):
        yield port


@pytest.mark.parametrize(
    ("host", "trusted", "found"),
    [("localhost", True, b"value"), ("localhost", False, None), ("127.0.0.1", True, None)],
)
async def test_the_certificate_is_checked(
    port: int,
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    host: str,
    trusted: bool,
    found: bytes | None,
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    url = f"rediss://:{PASSWORD}@{host}:{port}"
    store = RedisStore(url, Metrics(), ttl=60, timeout=5, connections=1)
    store.put([(KEY, b"value")])
    await store.written()

    assert [found] == await store.get([KEY])
    await store.close()
