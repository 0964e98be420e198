"""Who calls, and what they may use."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from embedway_gateway.quota.meter import Meter, Seats
from embedway_upstream import UnknownModel

if TYPE_CHECKING:
    from embedway_gateway.model import Model, Models

__all__ = ["ANYONE", "Caller", "patterns"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`name` is what is counted by; several keys of one name are one caller."""

    name: str
    label: str = ""
    """For metrics, of which there are few; empty where all are alike."""
    admin: bool = False
    pattern: re.Pattern[str] | None = field(default=None, repr=False)
    """Of the models; None is all of them."""
    meters: tuple[Meter, ...] = ()
    seats: tuple[Seats, ...] = ()
    """What counts all that it does."""

    def may_use(self, model: Model) -> bool:
        """By its name or any alias: the right is to the model, whatever it is called."""
        pattern = self.pattern
        if pattern is None:
            return True
        return any(pattern.match(name) for name in (model.name, *model.config.aliases))

    def among(self, models: Models) -> Iterator[Model]:
        """Those that it may use."""
        return (model for model in models.values() if self.may_use(model))

    def find(self, models: Models, name: str) -> Model:
        """
        The model. One that it may not use does not exist for it: raises `UnknownModel` for both,
        which names those that it may.
        """
        if self.pattern is None:
            return models.find(name)
        model = models.get(name)
        if model is None or not self.may_use(model):
            known = ", ".join(one.name for one in self.among(models)) or "none"
            shown = name if len(name) <= 100 else f"{name[:100]}…"
            raise UnknownModel(
                f"The model {shown!r} does not exist here, or this API key may not use it. Models "
                f"of this key: {known}.",
                param="model",
                code="model_not_found",
            )
        return model


def patterns(globs: Sequence[str]) -> re.Pattern[str] | None:
    """One for all of the globs, in which `*` is any text, slashes too; None where that is all."""
    if "*" in globs:
        return None
    # Without globs nothing matches.
    return re.compile("|".join(map(fnmatch.translate, globs)) or r"(?!)")


ANYONE = Caller(name="", admin=True)
"""Whoever reaches a gateway without keys, which listens on loopback only."""
