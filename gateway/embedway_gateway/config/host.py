"""How the gateway's own names are stated."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["HostName"]

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_MOST = 253


def _host_name(value: str) -> str:
    name = value.lower()
    if len(name) > _MOST or not _NAME.fullmatch(name):
        raise ValueError(
            "a name of the gateway is written alone, such as embed.example.com: without scheme, "
            "port, path or wildcard, and outside ASCII in its xn-- form"
        )
    return name


HostName = Annotated[str, AfterValidator(_host_name)]
"""One exact DNS name, which becomes lower case."""
