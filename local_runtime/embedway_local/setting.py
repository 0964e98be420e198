"""Reads JSON settings files that came from outside, with a clear error for every surprise."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, TypeGuard

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

    def count(self, key: str, *, default: int = 0) -> int:
        """An integer that may be 0."""
        return 0 if self.values.get(key, default) == 0 else self.number(key, default=default)

    def real(self, key: str, *, default: float) -> float:
        """A finite number."""
        value = self.values.get(key, default)
        # An integer of JSON may be larger than any float.
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not abs(value) < 1e300
            or not math.isfinite(value)
        ):
            raise self._wrong(key, "a number")
        return float(value)

    def text(self, key: str, *, default: str | None = None) -> str:
        """A string."""
        value = self.values.get(key, default)
        if not _is_text(value):
            raise self._wrong(key, "a string")
        return value

    def flag(self, key: str, *, default: bool = False) -> bool:
        """A boolean."""
        value = self.values.get(key, default)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def names(self, key: str) -> list[str]:
        """A string or a list of strings, as a list; empty when absent."""
        value = self.values.get(key)
        items = value if isinstance(value, list) else [] if value is None else [value]
        names = [item for item in items if _is_text(item)]
        if len(names) != len(items):
            raise self._wrong(key, "a string or a list of strings")
        return names

    def texts(self, key: str) -> dict[str, str]:
        """An object of strings, empty when absent; one without a value (null) is left out."""
        value = self.values.get(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(key, "an object of strings")
        stated = {name: text for name, text in value.items() if text is not None}
        texts = {name: text for name, text in stated.items() if _is_text(text)}
        if len(texts) != len(stated):
            raise self._wrong(key, "an object of strings")
        return texts

    def _wrong(self, key: str, wanted: str) -> ModelCorrupt:
        return ModelCorrupt(f"{self.source}: {key!r} is not {wanted}")


def read_settings(path: Path) -> Settings:
    """
    Read a JSON object; a missing file reads as an empty one.

    Raises `ModelCorrupt` when the file cannot be read, is too large, not JSON, or not an object.
    """
    value = _read(path, default={})
    if not isinstance(value, dict):
        raise ModelCorrupt(f"{path}: not a JSON object")
    return Settings(value, str(path))


def read_list(path: Path) -> list[Settings]:
    """Read a JSON array of objects; a missing file reads as an empty one."""
    value = _read(path, default=[])
    if not isinstance(value, list):
        raise ModelCorrupt(f"{path}: not a JSON array")
    items: list[Settings] = []
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            raise ModelCorrupt(f"{path}: item {index} is not an object")
        items.append(Settings(item, f"{path}[{index}]"))
    return items


def _is_text(value: object) -> TypeGuard[str]:
    """JSON can write halves of characters (lone surrogates), which no text is made of."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _read(path: Path, *, default: object) -> object:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelCorrupt(f"{path}: larger than {_MAX_BYTES} bytes, not a settings file")
        value: object = json.loads(path.read_bytes())
    except FileNotFoundError:
        return default
    except OSError as error:
        raise ModelCorrupt(f"{path}: cannot be read ({error.strerror or error})") from error
    except (ValueError, RecursionError) as error:
        raise ModelCorrupt(f"{path}: not JSON ({error})") from error
    return value
