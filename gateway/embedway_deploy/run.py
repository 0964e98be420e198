"""What the steps of one run share: the plan, the cloud, what was found, and how it is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedway_deploy.error import DeployError
from embedway_deploy.plan import Plan
from embedway_deploy.report import Report, Silent
from embedway_deploy.state import State

if TYPE_CHECKING:
    from embedway_deploy.cloud import Cloud

__all__ = ["Run"]


@dataclass(slots=True, kw_only=True)
class Run:
    """One application of a plan. `states` are those of the steps that were looked at so far."""

    plan: Plan
    cloud: Cloud
    report: Report = field(default_factory=Silent)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    poll: float = 10.0
    """Seconds between two looks at something that is being made."""
    patience: float = 3600.0
    """Seconds until that is given up; it goes on in the cloud, and is found by the next run."""
    python: str | None = None
    """Interpreter for what is proved on this machine; None is our own."""
    states: dict[str, State] = field(default_factory=dict)

    def wait(self, title: str, look: Callable[[], tuple[bool, int | None, str]]) -> None:
        """Until `look` says that it is over; it also says how far it is, in percent and words."""
        end = self.clock() + self.patience
        with self.report.progress(title, total=100, unit="percent") as advance:
            while True:
                over, percent, words = look()
                advance(100 if over else percent or 0, words)
                if over:
                    return
                if self.clock() >= end:
                    raise DeployError(
                        f"{title}: not done after {self.patience:.0f} s ({words}); it goes on in "
                        "the cloud: run the same command again to wait on"
                    )
                self.sleep(self.poll)
