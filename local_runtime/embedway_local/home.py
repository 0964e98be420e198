"""Where the local runtime keeps its files: the only place that reads its environment."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

__all__ = ["embedway_home"]


def embedway_home() -> Path:
    """`EMBEDWAY_HOME`, or the platform's cache folder for this user."""
    stated = os.environ.get("EMBEDWAY_HOME")
    return Path(stated).expanduser() if stated else user_cache_path("embedway", appauthor=False)
