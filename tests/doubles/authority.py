"""A certificate authority of our own, and the servers that it vouches for."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

__all__ = ["Authority"]


@dataclass(frozen=True)
class _Signer:
    key: ec.EllipticCurvePrivateKey
    name: x509.Name


class Authority:
    """`file` holds its own certificate."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own = _Signer(ec.generate_private_key(ec.SECP256R1()), _named("Authority"))
        self._count = 0
        self.file = folder / "authority.pem"
        self.file.write_bytes(self._certificate(self._own, self._own, days=(-1, 1), host=None))

    def client(self) -> ssl.SSLContext:
        """What trusts it alone."""
        return ssl.create_default_context(cafile=str(self.file))

    def server(
        self,
        host: str = "127.0.0.1",
        *,
        days: tuple[int, int] = (-1, 1),
        self_signed: bool = False,
        asks_client: bool = False,
    ) -> ssl.SSLContext:
        """With a certificate for a host or address, valid for these days from today."""
        mine = _Signer(ec.generate_private_key(ec.SECP256R1()), _named(host))
        signer = mine if self_signed else self._own
        key = mine.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self._count += 1
        file = self._folder / f"server-{self._count}.pem"
        file.write_bytes(key + self._certificate(mine, signer, days=days, host=host))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if asks_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.file)
        return context

    def _certificate(
        self, owner: _Signer, signer: _Signer, *, days: tuple[int, int], host: str | None
    ) -> bytes:
        now = datetime.now(UTC)
        start, end = (now + timedelta(days=one) for one in days)
        serial = x509.random_serial_number()
        builder = x509.CertificateBuilder(
            signer.name, owner.name, owner.key.public_key(), serial, start, end
        )
        constraint = x509.BasicConstraints(ca=host is None, path_length=None)
        builder = builder.add_extension(constraint, critical=True)
        if host is not None:
            names = x509.SubjectAlternativeName([_general(host)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(signer.key, SHA256()).public_bytes(Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)
