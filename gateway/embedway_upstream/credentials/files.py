"""A token and its key in two files that another program renews."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.key import load_key
from embedway_upstream.credentials.place import place_of
from embedway_upstream.credentials.profile import read_file, read_profile
from embedway_upstream.credentials.snapshot import Snapshot
from embedway_upstream.credentials.token import SecurityToken

__all__ = ["SessionProfile", "TokenFiles"]

# Whoever renews two files cannot do so at one instant; between them the pair does not fit.
_TRIES = 25
_PAUSE_SECONDS = 0.04

_SESSION_CURE = (
    "the OCI session has expired: run `oci session authenticate` for its profile, "
    "or `oci session refresh` before it ends"
)
_FILE_CURE = "the OCI token in the file has expired, and whatever renews it has not"


@dataclass(slots=True, kw_only=True)
class TokenFiles:
    """
    A security token and the key that it was issued for. `token` and `key` are each the absolute
    path of a file, or the text itself, as for resource principals 2.2. The SDK's own signer cannot
    read a `pass_phrase_file`: it opens it in a mode that does not exist.

    Files are read again when one of them has changed. A pair that does not fit is never used: it
    is read again for a second, then refused.
    """

    token: str = field(repr=False)
    key: str = field(repr=False)
    pass_phrase: str | None = field(default=None, repr=False)
    pass_phrase_file: str | None = field(default=None, repr=False)
    cure: str = _FILE_CURE
    command: str = ""
    """What to run then, for the detail."""
    watch: float | None = 5.0
    clock: Callable[[], float] = field(default=time.time, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    _seen: tuple[object, ...] = field(default=(), init=False, repr=False)

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        """The pair, or the one in use when the files did not change."""
        state = self._state()
        if held is None or force or state != self._seen:
            held = self._pair()
            # The state from before reading: what changed meanwhile is noticed the next time.
            self._seen = state
        if held.expires_at is not None and held.expires_at <= self.clock():
            told = ", ".join(part for part in (self.command, _where(self.token)) if part)
            raise CredentialsError(self.cure, detail=told)
        return held

    def _pair(self) -> Snapshot:
        trouble: CredentialsError | None = None
        known: tuple[bytes, RSAPrivateKey] | None = None
        for _ in range(_TRIES):
            try:
                token = SecurityToken.parse(_text(self.token, "the OCI security token"))
                pem = _text(self.key, "the OCI session's private key").encode()
                # Parsing checks the key's numbers: 60 ms, which waiting for its token need not
                # pay each time.
                if known is None or known[0] != pem:
                    known = pem, load_key(pem, self._secret(), where=_where(self.key))
                key = known[1]
            except CredentialsError as error:
                trouble = error
            else:
                if token.fits(key):
                    return Snapshot(
                        key_id=token.key_id,
                        key=key,
                        expires_at=token.expires_at,
                        issued_at=token.issued_at or self.clock(),
                    )
                trouble = None
            if not any(_is_file(part) for part in (self.token, self.key)):
                break
            self.sleep(_PAUSE_SECONDS)
        raise trouble or CredentialsError(
            "the OCI security token was not issued for the private key beside it: "
            "the two are from different sessions",
            detail=f"{_where(self.token)}, {_where(self.key)}",
        )

    def _secret(self) -> str | None:
        if self.pass_phrase_file is None:
            return self.pass_phrase
        return _text(self.pass_phrase_file, "the file with the pass phrase").strip()

    def _state(self) -> tuple[object, ...]:
        return tuple(_mark(part) for part in (self.token, self.key, self.pass_phrase_file))

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")


@dataclass(slots=True, kw_only=True)
class SessionProfile:
    """The session of a profile, as `oci session authenticate` writes it."""

    file: str = field(repr=False)
    profile: str
    pass_phrase: str | None = field(default=None, repr=False)
    watch: float | None = 5.0
    clock: Callable[[], float] = field(default=time.time, repr=False)
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    _files: TokenFiles | None = field(default=None, init=False, repr=False)

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        """Like `TokenFiles`; where the files are is read again when the session was refused."""
        if self._files is None or force:
            entries = read_profile(self.file, self.profile, "security_token_file", "key_file")
            pass_phrase = self.pass_phrase or entries.get("pass_phrase")
            self._files = TokenFiles(
                token=_absolute(entries["security_token_file"]),
                key=_absolute(entries["key_file"]),
                pass_phrase=pass_phrase,
                cure=_SESSION_CURE,
                command=f"oci session authenticate --profile-name {self.profile}",
                clock=self.clock,
                sleep=self.sleep,
            )
        return self._files.take(held, force=force)

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")


def _absolute(path: str) -> str:
    return str(Path(path).expanduser().absolute())


def _is_file(value: str) -> bool:
    return "\n" not in value and Path(value).is_absolute()


def _text(value: str, what: str) -> str:
    return read_file(value, what).decode("utf-8", "replace") if _is_file(value) else value


def _where(value: str) -> str:
    return place_of(value) if _is_file(value) else "given as text"


def _mark(value: str | None) -> object:
    """What changes with a file's content; nothing for a text."""
    if value is None or not _is_file(value):
        return None
    try:
        found = Path(value).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
