"""What the environment says: the only place in the client that reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["DEFAULT_BASE_URL", "api_key", "base_url", "keywords", "variables"]

DEFAULT_BASE_URL = "http://127.0.0.1:8080/v1"

_PREFIX = "EMBEDWAY_"


def base_url() -> str:
    """`EMBEDWAY_BASE_URL`, else the address where `embedway serve` listens by default."""
    return os.environ.get("EMBEDWAY_BASE_URL", "").strip() or DEFAULT_BASE_URL


def api_key() -> str | None:
    """`EMBEDWAY_API_KEY`; None when it is unset or empty."""
    return os.environ.get("EMBEDWAY_API_KEY", "").strip() or None


def keywords(*names: str) -> dict[str, str]:
    """What is set of the variables that are named for keywords: `EMBEDWAY_BATCH_SIZE` and so on."""
    told = {name: os.environ.get(_PREFIX + name.upper(), "") for name in names}
    return {name: value for name, value in told.items() if value.strip()}


def variables() -> Mapping[str, str]:
    """All of them, as they are at each look: for what other SDKs agreed on with their users."""
    return os.environ
