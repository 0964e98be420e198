"""A machine or resource that acts for a user: its own pair, and the user's delegation token."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NoReturn

from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.place import place_of
from embedway_upstream.credentials.profile import read_file
from embedway_upstream.credentials.snapshot import Snapshot, Source
from embedway_upstream.credentials.token import SecurityToken

__all__ = ["Delegated"]

_WATCH_SECONDS = 5.0
# `{"` in base64: how every JWT begins.
_JWT = "eyJ"

_UNREADABLE = "the delegation token is not one; the file may be empty or half written"
_OVER = "the delegation token has expired: make the credentials anew, with a new one"
_OVER_IN_FILE = "the delegation token in the file has expired, and whatever renews it has not"


@dataclass(slots=True, kw_only=True)
class Delegated:
    """
    `token` is the delegation token itself, or `token_file` the path of the file in which whatever
    provides it renews it: read again with each `take`, which the watch has happen every few
    seconds. Its expiry counts as the machine's own does. One that is no JWT has none.
    """

    machine: Source
    token: str | None = field(default=None, repr=False)
    token_file: str | None = field(default=None, repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _own: Snapshot | None = field(default=None, init=False, repr=False)

    @property
    def watch(self) -> float | None:
        """Of the file, which changes before the token in it expires."""
        own = self.machine.watch
        return own if self.token_file is None else min(_WATCH_SECONDS, own or _WATCH_SECONDS)

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        """Both; the machine's own is renewed where that was refused or ends soon, not each time."""
        text, expires_at, issued_at = self._given()
        own = self._own
        if own is None or force or self.machine.watch is not None or self._ends_soon(own):
            own = self._own = self.machine.take(own, force=force)
        if held is not None and (held.key_id, held.on_behalf_of) == (own.key_id, text):
            return held
        if own.expires_at is not None and (expires_at is None or own.expires_at < expires_at):
            expires_at, issued_at = own.expires_at, own.issued_at
        return Snapshot(
            key_id=own.key_id,
            key=own.key,
            expires_at=expires_at,
            issued_at=issued_at,
            on_behalf_of=text,
        )

    def _given(self) -> tuple[str, float | None, float | None]:
        """The token, when it expires and when it was issued."""
        file = self.token_file
        what = "the delegation token"
        text = self.token if file is None else read_file(file, what).decode("utf-8", "replace")
        text = (text or "").strip()
        where = "given as text" if file is None else place_of(file)
        # It goes into a header.
        if not text or not text.isascii() or not text.isprintable():
            raise CredentialsError(_UNREADABLE, detail=where)
        if not text.startswith(_JWT):
            return text, None, None
        try:
            claims = SecurityToken.parse(text)
        except CredentialsError:
            raise CredentialsError(_UNREADABLE, detail=where) from None
        if claims.expires_at <= self.clock():
            raise CredentialsError(_OVER if file is None else _OVER_IN_FILE, detail=where)
        return text, claims.expires_at, claims.issued_at

    def _ends_soon(self, own: Snapshot) -> bool:
        return own.expires_at is not None and self.clock() >= own.expires_at - own.ahead

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")
