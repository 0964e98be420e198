"""Reads JSON settings files that came from outside, with a clear error for every surprise."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Settings", "read_list", "read_settings"]

# The largest settings file in use, a sharded checkpoint's index, is under 1 MB.
_MAX_BYTES = 16 * 1024 * 1024


class Settings:
    """A JSON object with typed access; every error names the file and the key."""

    def __init__(self, values: dict[str, object], source: str) -> None:
        self.values = values
        self.source = source

    def number(self, key: str, *, default: int | None = None) -> int:
        """A positive integer."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
            raise self._wrong(key, "a positive integer")
        return value

    def real(self, key: str, *, default: float) -> float:
        """A number."""
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._wrong(key, "a number")
        return float(value)

    def text(self, key: str, *, default: str | None = None) -> str:
        """A string."""
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self._wrong(key, "a string")
        return value

    def flag(self, key: str) -> bool:
        """A boolean, false when absent."""
        value = self.values.get(key, False)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def texts(self, key: str) -> dict[str, str]:
        """An object of strings, empty when absent."""
        value = self.values.get(key) or {}
        if not isinstance(value, dict):
            raise self._wrong(key, "an object of strings")
        texts = {name: text for name, text in value.items() if isinstance(text, str)}
        if len(texts) != len(value):
            raise self._wrong(key, "an object of strings")
        return texts

    def _wrong(self, key: str, wanted: str) -> ModelCorrupt:
        return ModelCorrupt(f"{self.source}: {key!r} is not {wanted}")


def read_settings(path: Path) -> Settings:
    """
    Read a JSON object; a missing file reads as an empty one.

    Raises `ModelCorrupt` when the file is too large, not JSON, or not an object.
    """
    value = _read(path)
    if value is None:
        return Settings({}, str(path))
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{path}: not a JSON object")
    return Settings(value, str(path))


def read_list(path: Path) -> list[Settings]:
    """Read a JSON array of objects; a missing file reads as an empty one."""
    value = _read(path)
    if value is None:
        return []
    if not isinstance(value, list):
        raise ModelCorrupt(f"{path}: not a JSON array")
    items: list[Settings] = []
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise ModelCorrupt(f"{path}: item {index} is not an object")
        items.append(Settings(item, f"{path}[{index}]"))
    return items


def _read(path: Path) -> object:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelCorrupt(f"{path}: larger than {_MAX_BYTES} bytes, not a settings file")
        value: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise ModelCorrupt(f"{path}: not JSON ({error})") from error
    return value
