"""What was found of a step's resource, and what came of a step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

__all__ = ["Done", "State", "Status"]

Status: TypeAlias = Literal["absent", "partial", "outdated", "broken", "present", "unknown"]
"""
Partial: begun, or in the making. Outdated: made from something else. Broken: it failed. Unknown: it
can only be told by doing it, as of a check.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """`id` is the platform's; `words` are for people; `facts` for later steps."""

    status: Status
    id: str = ""
    words: str = ""
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One step, and whether something was changed for it."""

    step: str
    kind: str
    changed: bool
    state: State
