"""An event loop in which nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Turns(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to whatever is due next, so that nobody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.jumped = 0.0

    def time(self) -> float:
        return self.jumped

    def _run_once(self) -> None:
        scheduled = [one for one in self._scheduled if not one.cancelled()]  # type: ignore[attr-defined]
        if not self._ready and scheduled:  # type: ignore[attr-defined]
            self.jumped = max(self.jumped, min(one.when() for one in scheduled))
        super()._run_once()  # type: ignore[misc]


def turns(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs it in a loop of `Turns`."""

    def run() -> None:
        with asyncio.Runner(loop_factory=Turns) as runner:
            runner.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run
