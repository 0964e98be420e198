"""How to name the file that a secret is read from, though the secret itself may stand there."""

from __future__ import annotations

import re

__all__ = ["is_secret", "place_of"]

# `-----BEGIN` is PEM's, `eyJ` how every JWT begins (`{"` in base64); the profile of a session may
# have put a folder in front.
_SECRET = re.compile(r"-----BEGIN|(?:^|[/\\])eyJ|[\r\n]")
# The shortest RSA key and the shortest token are longer.
_LONGEST = 200


def is_secret(path: str) -> bool:
    """Whether a key or a token stands where the path of its file belongs."""
    return _SECRET.search(path) is not None


def place_of(path: str) -> str:
    """The path, for the detail of an error; not what may be a secret in its place."""
    if is_secret(path):
        return "given as text"
    return path if len(path) <= _LONGEST else f"{len(path)} characters that are not shown"
