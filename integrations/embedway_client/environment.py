"""What the environment says: the only place in the client that reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["DEFAULT_BASE_URL", "api_key", "base_url", "variables"]

DEFAULT_BASE_URL = "http://127.0.0.1:8080/v1"


def base_url() -> str:
    """`EMBEDWAY_BASE_URL`, else the address where `embedway serve` listens by default."""
    return os.environ.get("EMBEDWAY_BASE_URL", "").strip() or DEFAULT_BASE_URL


def api_key() -> str | None:
    """`EMBEDWAY_API_KEY`; None when it is unset or empty."""
    return os.environ.get("EMBEDWAY_API_KEY", "").strip() or None


def variables() -> Mapping[str, str]:
    """All of them, as they are at each look: for what other SDKs agreed on with their users."""
    return os.environ
