"""What a kind of step must be able to do; another platform's kinds implement the same four."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeVar, runtime_checkable

from embedway_deploy.run import Run
from embedway_deploy.state import State

__all__ = ["Kind", "Removing"]

S_contra = TypeVar("S_contra", contravariant=True)


class Kind(Protocol[S_contra]):
    """
    Stateless. What exists is found by looking at the cloud, never remembered on this machine, so
    that a run may be interrupted anywhere and taken up on another machine.
    """

    def problems(self, step: S_contra, run: Run) -> Iterator[str]:
        """Why the step can never succeed, one sentence each. Only reads."""
        ...

    def look(self, step: S_contra, run: Run) -> State:
        """What there is of it. Only reads."""
        ...

    def make(self, step: S_contra, run: Run, state: State) -> State:
        """From whatever `look` found to what the step says; returns that."""
        ...

    def remove(self, step: S_contra, run: Run) -> bool:
        """Remove it and its earlier versions; whether there was something."""
        ...

    def log(self, step: S_contra, run: Run, lines: int) -> list[str]:
        """The last lines that it has written; none where it writes none."""
        ...


@runtime_checkable
class Removing(Protocol):
    """A kind whose `remove` removes something, and that can say what before it does."""

    def found(self, step: Any, run: Run) -> list[str]:
        """Everything that `remove` would remove, in words with its id. Only reads."""
        ...
