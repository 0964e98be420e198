"""Stand-ins of every kind, and the configuration file that names one of them."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from doubles.aicore_api import AICoreAPI
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.planted"
File = dict[str, Any]


class Configured:
    """Serves what the configuration is to name, and writes what it is to read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open = ExitStack()

    def serve(self, app: Any) -> str:
        return self.open.enter_context(served(app))

    def file(self, login: File | None = None, model: File | None = None, **upstream: Any) -> File:
        """A configuration of one upstream."""
        given = {"name": "up", "engine": "tei", **upstream}
        file: File = {"models": [{"name": "model", "upstreams": [given], **(model or {})}]}
        file["models"][0].setdefault("dimensions", 8)
        if login is not None:
            file["credentials"] = {"login": login}
            given["credentials"] = "login"
        return file

    def plain(self, app: Any, **more: Any) -> File:
        return self.file(url=self.serve(app), **more)

    def oci(
        self, inner: Any = None, *, refuses: Any = (), login: File | None = None, **more: Any
    ) -> File:
        keys = {KEY_ID: private_key().public_key()}
        platform = OCIPlatform(inner or OpenAIUpstream(), more.pop("keys", keys))
        platform.faults = deque(refuses)
        platform.clock = more.pop("clock", time.time)
        url = f"{self.serve(platform)}/{OCID}"
        return self.file(login or self.api_key(), **{"url": url, "platform": "oci", **more})

    def api_key(self, **changes: Any) -> File:
        key_file = self.folder / "key.pem"
        key_file.write_bytes(pem(private_key()))
        login = {"type": "oci", "tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT}
        return {**login, "key_file": str(key_file), **changes}

    def aicore(self, *, api: AICoreAPI | None = None, deployment: str = "d1", **more: Any) -> File:
        api = api or AICoreAPI()
        url = self.serve(api)
        api.add(1, url, name="c", model="m")
        login = {
            "type": "oauth2",
            "token_url": f"{url}/oauth/token",
            "client_id": "client",
            "client_secret": "planted-secret",
            **more.pop("login", {}),
        }
        given = {"engine": "infinity", "platform": "aicore", **more}
        return self.file(login, url=f"{url}/v2/inference/deployments/{deployment}", **given)


@contextlib.contextmanager
def untrusted(folder: Path) -> Iterator[int]:
    """The port of a server whose certificate nobody vouches for."""
    key = private_key()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.now(UTC) - timedelta(hours=1)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + timedelta(days=1))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )
    file = folder / "server.pem"
    file.write_bytes(pem(key) + signed)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    def shake_hands() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, contextlib.suppress(OSError):
                    context.wrap_socket(connection, server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=shake_hands)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
