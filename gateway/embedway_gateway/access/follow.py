"""Takes over changes of the file of keys while requests are served."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from pathlib import Path

from embedway_gateway.access.file import KeysError, KeysFile
from embedway_gateway.access.key import Key
from embedway_gateway.access.keyring import Keyring

__all__ = ["FollowedKeys"]

_log = logging.getLogger("embedway.gateway")

# Between two looks: a key that was revoked opens for twice as long at most.
_SECONDS = 0.5


class FollowedKeys:
    """
    A keyring, and the file that it is filled from. A file that cannot be used changes nothing,
    and one that is gone closes nobody out: the keys that were read stay.

    As with the configuration it is the content that is compared, and it counts once it is the same
    in two looks.
    """

    def __init__(self, path: Path, *, every: float = _SECONDS) -> None:
        """Read it for the first time. Raises `KeysError`."""
        self._file = KeysFile(path)
        self._every = every
        content = self._file.content()
        self._taken = self._seen = _digest(content)
        keys = self._file.read(content)
        self.ring = Keyring(keys)
        self._task: asyncio.Task[None] | None = None
        if not keys:
            _log.warning("%s holds no keys: every caller is refused", path)
        if self._file.exposed:
            _log.warning("%s can be read by everyone on this machine: chmod 600 %s", path, path)

    def start(self) -> None:
        """Begin to look."""
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        """Look no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def look(self) -> tuple[Key, ...] | None:
        """What is new; None when nothing is."""
        try:
            content = self._file.content()
            digest = _digest(content)
        except KeysError as error:
            content, digest = b"", str(error).encode()
        stable, self._seen = digest == self._seen, digest
        if digest == self._taken or not stable:
            return None
        self._taken = digest
        try:
            return self._file.read(content or None)
        except KeysError as error:
            _log.error("the new keys are refused, the old ones stay: %s", error)
            return None

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            # In a thread: a long file takes longer than a request.
            try:
                keys = await asyncio.to_thread(self.look)
            except Exception:  # noqa: BLE001
                # The last resort: whatever is wrong, later revocations must be seen.
                _log.exception("the new keys are refused, the old ones stay: a fault of ours")
                continue
            if keys is not None:
                # There too: of 5,000 keys with globs it takes a quarter of a second.
                await asyncio.to_thread(self.ring.replace, keys)
                _log.info("the keys were read anew: %d", len(keys))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
