"""Looks at the file of keys again and again, and remembers it as it was when it was last good."""

from __future__ import annotations

import hashlib
from pathlib import Path

from embedway_gateway.access.file import KeysError, KeysFile
from embedway_gateway.access.key import Key

__all__ = ["KeysWatch"]


class KeysWatch:
    """
    As with the configuration it is the content that is compared, and it counts once it is the same
    in two looks.
    """

    def __init__(self, path: Path, *, last: bytes | None = None) -> None:
        """
        Read it for the first time. Raises `KeysError`, unless it was good before: `last` is what
        was in it then, `refused` what is wrong with it now, and the next looks are for its repair.
        """
        self.file = KeysFile(path)
        self.refused: KeysError | None = None
        self._taken = self._seen = b""
        self.good = last or b""
        """What was in it when it was last good: of keys, their digests only."""
        try:
            content = self._content()
            self._taken = self._seen
            self.keys = self.file.read(content)
            self.good = content
        except KeysError as error:
            if last is None:
                raise
            self._taken = self._seen
            self.refused = error
            self.keys = self.file.read(last)

    def look(self) -> tuple[Key, ...] | None:
        """
        What is new; None when nothing is. Raises `KeysError` once for each content that cannot be
        used, and then what was good before stays.
        """
        before = self._seen
        try:
            content = self._content()
        except KeysError:
            if self._is_news(before):
                raise
            return None
        if not self._is_news(before):
            return None
        self.keys = self.file.read(content)
        self.good = content
        return self.keys

    def _content(self) -> bytes:
        try:
            content = self.file.content()
        except KeysError as error:
            self._seen = _digest(str(error).encode())
            raise
        self._seen = _digest(content)
        return content

    def _is_news(self, before: bytes) -> bool:
        if self._seen == self._taken or self._seen != before:
            return False
        self._taken = self._seen
        return True


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
