"""Reads JSON that may be anything: what is missing or of another type is as good as absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime

__all__ = ["entries", "moment", "parse", "table", "text", "texts"]


def parse(raw: str | bytes) -> object:
    """The value, None when it is no JSON."""
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return value


def table(value: object, *path: str) -> Mapping[str, object]:
    """The object at the path, an empty one when there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def entries(value: object) -> list[object]:
    """The items of a list, none when it is not one."""
    return value if isinstance(value, list) else []


def text(value: object) -> str:
    """The text without blanks around it, empty when it is not one."""
    return value.strip() if isinstance(value, str) else ""


def moment(value: object) -> float | None:
    """The seconds since 1970 of a date and time, as RFC 3339 writes it; None when it is not one."""
    try:
        read = datetime.fromisoformat(text(value))
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def texts(value: object) -> dict[str, str]:
    """The pairs of an object whose values are texts."""
    return {key: item for key, item in table(value).items() if isinstance(item, str)}
