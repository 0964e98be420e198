"""Which models the found deployments make: replicas together, names that are nobody's left out."""

from __future__ import annotations

import math
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from embedway_gateway.discovery.found import Found

__all__ = ["DiscoveredModel", "group"]


@dataclass(frozen=True, slots=True)
class DiscoveredModel:
    """A model and its replicas, the oldest first: which one that is depends on no list or id."""

    name: str
    aliases: tuple[str, ...]
    replicas: tuple[Found, ...]


def group(found: Iterable[Found], static: AbstractSet[str]) -> tuple[DiscoveredModel, ...]:
    """
    One model a name, by name; what two sources found is there once.

    A name in `static`, those of the configuration and their aliases, is never given; an alias
    that two models claim, or that is another's name, is neither's.
    """
    replicas: dict[str, list[Found]] = {}
    for one in {(one.deployment, one.name, one.path): one for one in found}.values():
        replicas.setdefault(one.name, []).append(one)
    claims: dict[str, set[str]] = {}
    for one in (one for several in replicas.values() for one in several):
        for alias in one.aliases:
            claims.setdefault(alias, set()).add(one.name)
    free = {
        alias
        for alias, names in claims.items()
        if len(names) == 1 and alias not in static and alias not in replicas
    }
    return tuple(
        DiscoveredModel(
            name,
            tuple(sorted(free & {alias for one in several for alias in one.aliases})),
            tuple(sorted(several, key=_age)),
        )
        for name, several in sorted(replicas.items())
        if name not in static
    )


def _age(found: Found) -> tuple[float, str, str]:
    """For sorting; one that nobody knows the age of comes last."""
    created = math.inf if found.created is None else found.created
    return created, found.deployment, found.path or ""
