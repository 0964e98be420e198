"""Makes, revokes and rotates keys: what `embedway keys` does to the file."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from embedway_gateway.access.file import KeysError, KeysFile
from embedway_gateway.access.key import Key
from embedway_gateway.access.secret import digest, make_secret
from embedway_gateway.quota.allowance import Allowance

__all__ = ["create", "revoke", "rotate"]


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def create(
    file: KeysFile,
    *,
    name: str,
    models: Sequence[str] = ("*",),
    allowance: Allowance,
    expires: datetime | None = None,
    admin: bool = False,
    clock: Callable[[], datetime] = _now,
) -> tuple[Key, str]:
    """A new key and its secret, which is kept nowhere. Raises `KeysError`."""
    now = clock()
    _require_future(expires, now)
    secret = make_secret()
    with file.change() as keys:
        if any(key.id == name for key in keys):
            # To revoke or rotate it would be to revoke or rotate both.
            raise KeysError(f"{name!r} is the id of another key; choose another name")
        if any(key.name == name and key.state(now) == "valid" for key in keys):
            raise KeysError(
                f"there is a valid key named {name!r} already; `embedway keys rotate {name}` "
                "replaces it"
            )
        key = Key(
            id=_free_id(keys),
            name=name,
            sha256=digest(secret.encode()).hex(),
            models=tuple(models),
            rpm=allowance.rpm,
            tpm=allowance.tpm,
            texts_per_minute=allowance.texts_per_minute,
            max_concurrency=allowance.max_concurrency,
            admin=admin,
            created=now,
            expires=expires,
        )
        keys.append(key)
    return key, secret


def revoke(file: KeysFile, which: str, *, clock: Callable[[], datetime] = _now) -> tuple[Key, ...]:
    """End the key of that id, or all of that name, at once. Raises `KeysError`."""
    now = clock()
    with file.change() as keys:
        found = _valid(keys, which, now)
        for place, key in found:
            keys[place] = key.model_copy(update={"revoked": now})
    return tuple(key for _, key in found)


def rotate(
    file: KeysFile,
    which: str,
    *,
    overlap: timedelta,
    expires: datetime | None = None,
    clock: Callable[[], datetime] = _now,
) -> tuple[Key, str]:
    """
    A new key with the rights and limits of the one of that id or name, which still opens for
    `overlap`. Both count as one caller. Raises `KeysError`.
    """
    now = clock()
    _require_future(expires, now)
    secret = make_secret()
    with file.change() as keys:
        found = _valid(keys, which, now)
        end = now + overlap
        # Of several, as during another overlap, the latest; of one second, the last in the file.
        _, latest = max(found, key=lambda item: (item[1].created, item[0]))
        for place, key in found:
            # Beside `expires`, which says how long the next key is to last.
            retires = end if key.retires is None else min(end, key.retires)
            keys[place] = key.model_copy(update={"retires": retires})
        new = latest.model_copy(
            update={
                "id": _free_id(keys),
                "sha256": digest(secret.encode()).hex(),
                "created": now,
                "expires": expires or _as_long(latest, now),
                "retires": None,
            }
        )
        keys.append(new)
    return new, secret


def _require_future(expires: datetime | None, now: datetime) -> None:
    if expires is not None and expires <= now:
        raise KeysError("the key would have expired already")


def _as_long(key: Key, now: datetime) -> datetime | None:
    return None if key.expires is None else now + (key.expires - key.created)


def _valid(keys: Sequence[Key], which: str, now: datetime) -> list[tuple[int, Key]]:
    named = [(place, key) for place, key in enumerate(keys) if which in {key.id, key.name}]
    if not named:
        raise KeysError(f"there is no key with the id or name {which!r}")
    valid = [(place, key) for place, key in named if key.state(now) == "valid"]
    if not valid:
        raise KeysError(f"{which!r} is {named[-1][1].state(now)} already")
    return valid


def _free_id(keys: Sequence[Key]) -> str:
    taken = {name for key in keys for name in (key.id, key.name)}
    while (made := secrets.token_hex(4)) in taken:
        pass
    return made
