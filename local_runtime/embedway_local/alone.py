"""Runs a text that comes alone on several cores, in a session of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    from embedway_local.session import Session

__all__ = ["Alone"]


class Alone:
    """
    The session for single texts, made when a second one comes.

    So a program that embeds one text does not pay for it, nor one that embeds many at once. It is
    given up before a fork, because in the child its threads are missing, for which it would wait
    when it ends; parent and child make it again. So it is for a long stream, beside which no text
    is alone.
    """

    def __init__(self, make: Callable[[], Session]) -> None:
        self._make: Callable[[], Session] | None = make
        self._made: tuple[int, Session] | None = None
        self._asked = False
        register = getattr(os, "register_at_fork", None)  # Windows has no fork
        if register is not None:
            register(before=partial(_give_up, ref(self)))

    @property
    def session(self) -> Session | None:
        """What to run the text that has come in; None: in the same as all others."""
        made, make = self._made, self._make
        if made is None and make is not None and self._asked:
            # Of two threads here at once each makes one, and one of them stays.
            self._made = made = os.getpid(), make()
        self._asked = True
        return made[1] if made is not None and made[0] == os.getpid() else None

    def give_up(self) -> None:
        """Give the memory back; it is made again when a second text comes from now on."""
        self._made = None
        self._asked = False

    def close(self) -> None:
        """Give the memory back for good."""
        self._make = None
        self._made = None


def _give_up(alone: ref[Alone]) -> None:
    found = alone()
    if found is not None:
        found.give_up()
