"""`embedway eval mteb`: how good is an endpoint's model on the tasks of MTEB?"""

from __future__ import annotations

__all__ = ["mteb"]


def mteb() -> None:
    """Soon."""
