"""Workers for a supervisor that do nothing but live, or not even that."""

from __future__ import annotations

import socket
import sys
from multiprocessing.connection import Connection

from embedway_gateway.config.schema import Config


def die_at_once(_config: Config, _listener: socket.socket, _line: Connection) -> None:
    """As a worker whose configuration cannot be assembled."""
    sys.exit(3)
