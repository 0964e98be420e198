"""What a call is signed with: one key and the name under which the platform knows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

__all__ = ["Snapshot", "Source"]

# The SDK for SAP asks for a new token below 60 minutes, whatever its life, and so never has one.
_AHEAD_SECONDS = 300.0
_AHEAD_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """
    Key and key id of the same generation. It never changes, so what signs with it cannot take
    one from before a rotation and the other from after.
    """

    key_id: str = field(repr=False)
    key: RSAPrivateKey = field(repr=False)
    expires_at: float | None = None
    """Seconds since the epoch; None never expires."""
    issued_at: float | None = None
    """Seconds since the epoch, when that is known."""
    on_behalf_of: str | None = field(default=None, repr=False)
    """A delegation token, sent and signed as `opc-obo-token`."""

    @property
    def ahead(self) -> float:
        """How long before its end it is to be renewed, in seconds; 0 where its life is unknown."""
        if self.expires_at is None or self.issued_at is None:
            return 0.0
        return min(_AHEAD_SECONDS, max(0.0, self.expires_at - self.issued_at) * _AHEAD_SHARE)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a private key is not pickled; make the credentials where they are used")


class Source(Protocol):
    """
    Where snapshots come from.

    `take` blocks. It is given the snapshot in use, and gives it back when there is nothing newer.
    `force` means that the platform refused it. Raises `CredentialsError`.

    `watch` is how often, in seconds, a new one may appear before the old one expires (a file that
    another program renews); None when only expiry matters.
    """

    @property
    def watch(self) -> float | None: ...
    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot: ...
