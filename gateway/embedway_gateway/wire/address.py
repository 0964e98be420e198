"""Where a call goes, and what its first bytes are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["Origin", "head_of", "place_of"]

_TARGET = re.compile(r"/[\x21-\x7e]*")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OURS = {
    "user-agent": "embedway",
    # Whole answers are read faster than they are unpacked; a compressed one is refused.
    "accept-encoding": "identity",
}


class Origin(NamedTuple):
    """Whom to connect to: connections are shared by all calls of one origin."""

    host: str
    port: int
    tls: bool


@lru_cache(maxsize=1024)
def place_of(url: str) -> tuple[Origin, str, str]:
    """
    The origin, the request's target as it is written in the URL, and the header `host`.

    The last two are what `credentials.signature` signs, byte for byte: nothing is quoted, and a
    port that is written stays. Raises `ValueError`, which does not repeat the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("its `url:` has a host or a port that is none") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ValueError("its `url:` must begin with http:// or https:// and name a host")
    if not parts.netloc.isascii() or not parts.netloc.isprintable() or " " in parts.netloc:
        raise ValueError("the host in its `url:` must be written in ASCII (xn--…)")
    if "@" in parts.netloc:
        raise ValueError("its `url:` must have no user; name `credentials:` instead")
    target = parts.path or "/"
    if parts.query:
        target += f"?{parts.query}"
    if not _TARGET.fullmatch(target):
        raise ValueError("the path in its `url:` must be written in ASCII (%…), without spaces")
    tls = parts.scheme == "https"
    return Origin(host, port or (443 if tls else 80), tls), target, parts.netloc


def head_of(method: str, target: str, host: str, headers: Mapping[str, str], size: int) -> bytes:
    """
    The request's first lines and the empty one; what `headers` lacks of `host`, `content-length`
    and ours is added.

    Raises `ValueError` for what a server could read as something else (RFC 9112 §11.2); it does
    not repeat values.
    """
    form = _form_of(method, tuple(headers))
    lines = [f"{method} {target} HTTP/1.1"]
    if form.host:
        lines.append(f"host: {host}")
    if form.length is not None:
        if headers[form.length] != str(size):
            raise ValueError("its content-length is not the body's")
    elif size or method not in {"GET", "HEAD"}:
        lines.append(f"content-length: {size}")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    text = "\r\n".join(lines) + form.last
    ends = len(lines) + form.last.count("\n") - 1
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise ValueError("a header has a line break; look at what `credentials:` name")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError("a header is not Latin-1; look at what `credentials:` name") from None


class _Form(NamedTuple):
    """What the names of a request's headers decide; they seldom change."""

    host: bool
    """Whether it is missing."""
    length: str | None
    """The name under which it is given."""
    last: str


@lru_cache(maxsize=256)
def _form_of(method: str, names: tuple[str, ...]) -> _Form:
    if not all(_TOKEN.fullmatch(word) for word in (method, *names)):
        raise ValueError("a method or a header's name has characters that it must not have")
    given = {name.lower(): name for name in names}
    if len(given) != len(names) or "transfer-encoding" in given:
        raise ValueError("a header is given twice, or is not the caller's to give")
    ours = [f"{name}: {value}" for name, value in _OURS.items() if name not in given]
    last = "\r\n".join(["", *ours, "", ""])
    return _Form("host" not in given, given.get("content-length"), last)
