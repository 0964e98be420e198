"""What the system still holds of what was written to a connection."""

from __future__ import annotations

import sys
from typing import Protocol

__all__ = ["queued"]


class _Socket(Protocol):
    def fileno(self) -> int: ...


if sys.platform == "linux":
    import fcntl
    import struct
    import termios

    def queued(connection: _Socket | None) -> int:
        """Bytes that the other side has not confirmed (Linux: tcp(7), SIOCOUTQ)."""
        if connection is None:
            return 0
        try:
            found = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
        except OSError:
            # Closed, or no TCP.
            return 0
        size: int = struct.unpack("i", found)[0]
        return size

else:

    def queued(connection: _Socket | None) -> int:  # noqa: ARG001
        """Not known on this system."""
        return 0
