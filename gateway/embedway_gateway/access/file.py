"""Reads and writes the file of keys: whole, locked, and for its owner's eyes."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from filelock import FileLock
from pydantic import Field, ValidationError, model_validator

from embedway_gateway.access.key import Key
from embedway_gateway.config.document import read_yaml
from embedway_gateway.config.strict import Strict

__all__ = ["KeysError", "KeysFile"]

_HEADER = (
    "# The API keys of an Embedway gateway, written by `embedway keys`.\n"
    "# Of a key only its SHA-256 is kept: who loses it needs a new one.\n"
)
_LOCK_SECONDS = 10.0
# 50,000 keys; a file beyond that is another file.
_MOST_BYTES = 16 * 1024 * 1024


class KeysError(Exception):
    """The file of keys cannot be used, or does not hold what was asked for."""


class _Document(Strict):
    keys: tuple[Key, ...] = Field(default=())

    @model_validator(mode="after")
    def _is_distinct(self) -> _Document:
        for field in ("id", "sha256"):
            values = [getattr(key, field) for key in self.keys]
            if len(set(values)) != len(values):
                raise ValueError(f"two keys have the same {field}")
        return self


class KeysFile:
    """
    One file. A change is a read and a write under one lock, which the file beside it, `.lock`,
    holds for all processes of a machine.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def content(self) -> bytes:
        """As it is. Raises `KeysError`, also where others than its owner may write it."""
        try:
            with self.path.open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                content = file.read(_MOST_BYTES + 1)
        except FileNotFoundError as error:
            raise KeysError(
                f"{self.path}: {error.strerror}; `embedway keys create --name NAME --file "
                f"{self.path}` makes a first key"
            ) from None
        except OSError as error:
            raise KeysError(
                f"{self.path}: {error.strerror}; it must be a file that the gateway's user may read"
            ) from None
        if os.name == "posix" and mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KeysError(
                f"{self.path} can be written by others than its owner, who could give themselves "
                f"a key: chmod 600 {self.path}"
            )
        if len(content) > _MOST_BYTES:
            raise KeysError(f"{self.path} is over {_MOST_BYTES} bytes")
        return content

    @property
    def exposed(self) -> bool:
        """Whether everyone on the machine may read it: no secret is in it, but names are."""
        return os.name == "posix" and bool(self.path.stat().st_mode & stat.S_IROTH)

    def read(self, content: bytes | None = None) -> tuple[Key, ...]:
        """The keys, or `KeysError` with every mistake. Values are never shown."""
        try:
            text = (self.content() if content is None else content).decode()
            values, problems = read_yaml(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            # What is not UTF-8 is a ValueError.
            mark = getattr(error, "problem_mark", None)
            place = f" in line {mark.line + 1}" if mark else ""
            raise KeysError(f"{self.path} is not YAML{place}") from None
        keys: tuple[Key, ...] = ()
        try:
            keys = _Document.model_validate({} if values is None else values).keys
        except ValidationError as error:
            problems += [_sentence(one["loc"], one["msg"]) for one in error.errors()]
        if problems:
            raise KeysError("\n  ".join([f"{self.path} cannot be used:", *problems]))
        return keys

    @contextlib.contextmanager
    def change(self) -> Iterator[list[Key]]:
        """The keys, to be changed in place; written when the block ends well."""
        folder = self.path.parent
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(f"{self.path}.lock", timeout=_LOCK_SECONDS, mode=0o600):
                keys = list(self.read()) if self.path.exists() else []
                yield keys
                self._write(keys)
        except TimeoutError:
            raise KeysError(f"{self.path} is being changed by somebody else; try again") from None
        except OSError as error:
            raise KeysError(f"{self.path} cannot be written: {error.strerror}") from None

    def _write(self, keys: Sequence[Key]) -> None:
        document = {"keys": [_written(key) for key in keys]}
        text = _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        # Readable by its owner alone from the beginning.
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            self._inherit(handle)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            # Behind a link: what it leads to is replaced, not the link.
            Path(name).replace(self.path.resolve())
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _inherit(self, handle: int) -> None:
        """Whoever could read the old file can read the new one: a service, when root writes it."""
        if os.name != "posix" or not self.path.exists():
            return
        old = self.path.stat()
        with contextlib.suppress(PermissionError):
            os.fchown(handle, old.st_uid, old.st_gid)
        os.fchmod(handle, old.st_mode & 0o644)


def _written(key: Key) -> dict[str, object]:
    """What is said of it, whose it is first."""
    facts = key.model_dump(exclude_none=True, exclude=None if key.admin else {"admin"}, mode="json")
    return {name: facts.pop(name) for name in ("id", "name", "sha256", "models")} | facts


def _sentence(place: Sequence[int | str], message: str) -> str:
    where = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return f"{where.lstrip('.')}: {message.removeprefix('Value error, ')}".removeprefix(": ")
