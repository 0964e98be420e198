"""A fixed bearer token, or nothing at all."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Anonymous", "Bearer"]


class _Fixed:
    """Never renewed: what was refused once is refused again."""

    def stale(self) -> bool:
        """Never."""
        return False

    def due(self) -> bool:
        """Never."""
        return False

    def refresh(self, force: bool = False) -> bool:
        """There is nothing to renew."""
        return False


class Anonymous(_Fixed):
    """No credentials."""

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """Nothing to add."""
        return {}


class Bearer(_Fixed):
    """`Authorization: Bearer …`. The token is never shown."""

    def __init__(self, token: str) -> None:
        if not token.isascii() or not token.isprintable():
            raise ValueError("the token has characters that no header can carry")
        self._header = {"authorization": f"Bearer {token}"}

    def sign(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> Mapping[str, str]:
        """The header."""
        return self._header

    def __repr__(self) -> str:
        return "Bearer(…)"
