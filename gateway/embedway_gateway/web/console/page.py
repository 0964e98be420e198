"""`GET /` and what the page loads: files of the package, and headers that keep it to them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from fastapi import APIRouter, HTTPException, Request, Response

from embedway_gateway.web.intake import Intake

__all__ = ["page_routes"]

_FOLDER = Path(__file__).with_name("static")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Nothing but these files: no script or style in the page, and no markup out of strings. Whoever
# framed the page could have others type their keys there.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = MappingProxyType(
    {
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        # Asked for again each time, so that after an update no old part meets a new one.
        "cache-control": "no-cache",
    }
)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    headers: dict[str, str]


def page_routes(intake: Intake) -> APIRouter:
    """Open to all: what is in the files is in every installation. What they ask for is not here."""
    router = APIRouter(include_in_schema=False)
    files = {path.name: _read(path) for path in _FOLDER.iterdir() if path.suffix in _TYPES}

    @router.api_route("/", methods=["GET", "HEAD"])
    async def index(request: Request) -> Response:
        return _answer(request, files["index.html"])

    @router.api_route("/console/{name}", methods=["GET", "HEAD"])
    async def asset(name: str, request: Request) -> Response:
        return _answer(request, files.get(name))

    def _answer(request: Request, file: _File | None) -> Response:
        if file is None or not intake.server().console:
            raise HTTPException(404)
        if request.headers.get("if-none-match") == file.headers["etag"]:
            return Response(status_code=304, headers=file.headers)
        return Response(file.content, headers=file.headers)

    return router


def _read(path: Path) -> _File:
    content = path.read_bytes()
    tag = hashlib.sha256(content).hexdigest()[:32]
    return _File(content, {**_HEADERS, "content-type": _TYPES[path.suffix], "etag": f'"{tag}"'})
