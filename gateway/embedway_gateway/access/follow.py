"""Takes over changes of the file of keys while requests are served."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from embedway_gateway.access.file import KeysError
from embedway_gateway.access.key import Key
from embedway_gateway.access.keyring import Keyring
from embedway_gateway.access.watch import KeysWatch

__all__ = ["FollowedKeys"]

_log = logging.getLogger("embedway.gateway")

# Between two looks: a key that was revoked opens for twice as long at most.
_SECONDS = 0.5


class FollowedKeys:
    """
    A keyring, and the file that it is filled from. A file that cannot be used changes nothing,
    and one that is gone closes nobody out: the keys that were read stay.
    """

    def __init__(self, path: Path, *, last: bytes | None = None, every: float = _SECONDS) -> None:
        """
        Read it for the first time. Raises `KeysError`, unless `last` is what was in it when it was
        last good, as the worker knew that this one replaces.
        """
        self._watch = KeysWatch(path, last=last)
        self._every = every
        keys = self._watch.keys
        self.ring = Keyring(keys)
        self._task: asyncio.Task[None] | None = None
        if self._watch.refused is not None:
            _log.error(
                "this worker starts with the %d keys that were last good, until the file of keys "
                "is right again: %s",
                len(keys),
                self._watch.refused,
            )
            return
        if not keys:
            _log.warning("%s holds no keys: every caller is refused", path)
        if self._watch.file.exposed:
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
            return self._watch.look()
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
