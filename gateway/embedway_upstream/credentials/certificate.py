"""What a TLS connection shows of us: a client certificate, or nothing."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from embedway_upstream.credentials.error import CredentialsError

__all__ = ["tls_context"]


def tls_context(cert: str | None, key: str | None) -> ssl.SSLContext:
    """
    Verifies the server, and shows it the certificate if there is one: `cert` and `key` are each
    the path of a PEM file or the PEM text. Raises `CredentialsError` when they cannot be used.
    """
    # An empty password: without one, an encrypted key would be asked for on the terminal.
    context = ssl.create_default_context()
    if not cert or not key:
        return context
    try:
        if "-----BEGIN" not in cert + key:
            context.load_cert_chain(cert, key, password="")
            return context
        # Python's ssl reads files only; the folder is its owner's alone and lives for a moment.
        with tempfile.TemporaryDirectory() as folder:
            pem = Path(folder, "client.pem")
            pem.write_text(f"{cert}\n{key}\n".replace("\\n", "\n"))
            context.load_cert_chain(pem, password="")
    except (OSError, ValueError) as error:
        message = "the client certificate and its key cannot be read, or do not belong together"
        raise CredentialsError(message, detail=type(error).__name__) from None
    return context
