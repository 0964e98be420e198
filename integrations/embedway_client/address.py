"""Where the server is, and whether an API key may be sent there."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

from embedway_upstream.loopback import is_loopback as of_this_machine

__all__ = [
    "LOCAL",
    "SECRET_HEADERS",
    "is_loopback",
    "origin",
    "require_deployment",
    "require_private",
    "root",
]

LOCAL = "local"
"""The `base_url` that stands for this process."""
SECRET_HEADERS = frozenset(
    {"authorization", "api-key", "cookie", "proxy-authorization", "x-api-key"}
)
"""Headers that hold secrets; what travels with one of them must travel encrypted."""


def root(base_url: str) -> str:
    """
    The URL that `/embeddings` is added to: as given; a bare host means its `/v1`.

    Raises `ValueError` for what no server can be reached at.
    """
    parts = _split(base_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError('base_url must begin with http:// or https://, or be "local"')
    if parts.username is not None or parts.password is not None:
        raise ValueError("base_url holds a user or password; give api_key= or headers= instead")
    if parts.query or parts.fragment:
        raise ValueError("base_url must not have a query or a fragment")
    whole = base_url.rstrip("/")
    return whole if parts.path.strip("/") else f"{whole}/v1"


def origin(url: str) -> str:
    """Scheme, host and port, for messages."""
    parts = _split(url)
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(url: str) -> bool:
    """Whether only this machine can be meant."""
    return of_this_machine(_split(url).hostname or "")


def require_private(url: str) -> None:
    """Raise `ValueError` where a secret would cross a network in the clear."""
    if _split(url).scheme == "http" and not is_loopback(url):
        raise ValueError(
            "the API key would be sent in the clear to "
            f"{origin(url)}: use https://, or pass insecure=True where the network is trusted"
        )


def require_deployment(url: str, *, insecure: bool) -> None:
    """Raise `ValueError` unless a deployment may be called there."""
    parts = _split(url, "url")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("url must begin with https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise ValueError("url holds a user or password; give credentials= instead")
    if parts.query or parts.fragment:
        raise ValueError("url must not have a query or a fragment")
    if parts.scheme == "http" and not (insecure or is_loopback(url)):
        raise ValueError(
            "url is plain http beyond this machine: use https://, or pass insecure=True where the "
            "network is trusted"
        )


def _split(url: str, name: str = "base_url") -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ValueError(f"{name} is not an address: {error}") from None
    return parts
