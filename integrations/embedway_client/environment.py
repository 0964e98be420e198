"""What the environment says: the only place in the client that reads it."""

from __future__ import annotations

import os

__all__ = ["DEFAULT_BASE_URL", "api_key", "base_url"]

DEFAULT_BASE_URL = "http://127.0.0.1:8080/v1"


def base_url() -> str:
    """`EMBEDWAY_BASE_URL`, else the address where `embedway serve` listens by default."""
    return os.environ.get("EMBEDWAY_BASE_URL", "").strip() or DEFAULT_BASE_URL


def api_key() -> str | None:
    """`EMBEDWAY_API_KEY`; None when it is unset or empty."""
    return os.environ.get("EMBEDWAY_API_KEY", "").strip() or None
