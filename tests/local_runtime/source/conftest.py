"""A stand-in for the Hugging Face hub on loopback, and pulls from it in a fresh process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"

_PULL = """
import sys
from pathlib import Path
from embedway_local import LocalError, Store, embedway_home, pull
try:
    pull(sys.argv[1], Store(embedway_home()))
except LocalError as error:
    print(f"{type(error).__name__}: {error}")
    sys.exit(1)
"""


@dataclass
class Hub:
    """
    Repositories by name, each with its files' bytes.

    `stop_after`: how many bytes of model.safetensors are sent before the connection hangs until
    `released`. `asked` lists method, path and Range header of each request, `tokens` its
    Authorization header.
    """

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    stop_after: int | None = None
    stopped: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    address: str = ""
    commit: str = COMMIT
    tokens: list[str | None] = field(default_factory=list)


class Answer(BaseHTTPRequestHandler):
    """Answers as the hub does: the commit and a file's tag are in headers."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.hub.asked.append((self.command, self.path, self.headers.get("Range")))
        self.hub.tokens.append(self.headers.get("Authorization"))
        if self.path == "/":
            self.reply(200, b"hub")
        elif self.path.startswith("/api/models/"):
            self.about(self.path.removeprefix("/api/models/").partition("?")[0])
        else:
            name, _, place = self.path.lstrip("/").partition("/resolve/")
            self.file(name, place.partition("/")[2])

    def about(self, name: str) -> None:
        name = name.partition("/revision/")[0]
        files = self.hub.repositories.get(name)
        if files is None:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        siblings = [{"rfilename": file} for file in files]
        body = {"id": name, "modelId": name, "sha": self.hub.commit, "siblings": siblings}
        self.reply(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def file(self, name: str, file: str) -> None:
        if name in self.hub.gated:
            self.reply(403, b"{}", {"X-Error-Code": "GatedRepo"})
            return
        if name not in self.hub.repositories:
            self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        body = self.hub.repositories[name].get(file)
        if body is None:
            self.reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        tag = hashlib.sha256(self.hub.repositories[name].get(f"{file} announced", body)).hexdigest()
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
        begin = self.headers.get("Range")
        if begin is None:
            self.reply(200, body, headers, file)
            return
        first = int(begin.removeprefix("bytes=").rstrip("-"))
        headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        self.reply(206, body[first:], headers, file)

    def reply(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, file: str = ""
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        stop = self.hub.stop_after
        if stop is not None and file == "model.safetensors":
            self.wfile.write(body[:stop])
            self.wfile.flush()
            self.hub.stopped.set()
            self.hub.released.wait(30)
            self.close_connection = True
            return
        self.wfile.write(body)


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = Hub()
    handler = type("HubAnswer", (Answer,), {"hub": made})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield made
    made.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def environment(tmp_path: Path, home: Path) -> dict[str, str]:
    """Of a process without a network: nothing at the hub's address, no package index."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("HF_", "PIP_", "HUGGING", "EMBEDWAY_"))
        and "proxy" not in name.lower()
    }
    return {
        **kept,
        "EMBEDWAY_HOME": str(home),
        "HF_HOME": str(tmp_path / "hf"),
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HUB_DISABLE_XET": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_INDEX": "1",
        "PIP_NO_CACHE_DIR": "1",
    }


@pytest.fixture
def start_pull(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Starts a pull in a process of its own: the hub's client reads the environment once."""

    def start(model: str, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", _PULL, model],
            env={**environment, **changes},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def pulled(start_pull: Callable[..., subprocess.Popen[str]]) -> Callable[..., str]:
    """Pulls; returns what was said on stdout: the error, or nothing."""

    def run(model: str, **changes: str) -> str:
        with start_pull(model, **changes) as process:
            said, errors = process.communicate(timeout=60)
        assert "Traceback" not in errors, errors
        assert (process.returncode == 1) == bool(said), errors
        return said

    return run


@pytest.fixture
def left(home: Path) -> Callable[[], list[str]]:
    """Lists whatever is in the store, except locks."""

    def names() -> list[str]:
        return sorted(
            path.relative_to(home).as_posix()
            for path in home.rglob("*")
            if path.is_file() and path.suffix != ".lock"
        )

    return names
