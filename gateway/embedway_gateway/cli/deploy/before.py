"""Says what a command is about to hit, before anybody is asked: where, which ids, and what for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from embedway_gateway.cli.console import say

if TYPE_CHECKING:
    from embedway_deploy import AICorePlace, OCIPlace, Plan
    from embedway_deploy.state import Done

__all__ = ["place_of", "say_changes", "say_removals"]

_BECOMES = {
    "absent": "will be created",
    "partial": "will be completed",
    "outdated": "will be updated",
    "present": "stays as it is",
}
# Of those that failed, these are not removed and made anew.
_LOOKED_AT = {"NEEDS_ATTENTION"}


def place_of(place: OCIPlace | AICorePlace) -> str:
    """In words, as far as it tells two deployments of one name apart."""
    if place.platform == "oci":
        host = f", at {place.service_endpoint}" if place.service_endpoint else ""
        return f"{place.region}, compartment {place.compartment_id}{host}"
    group, scenario = place.resource_group, place.scenario_id
    return f"resource group {group}, scenario {scenario}, at {place.api_url}"


def say_changes(plan: Plan, found: Sequence[Done]) -> None:
    """What `apply` will make of what is there."""
    say(f"{plan.name} in {place_of(plan.place)}:")
    for one in found:
        if one.kind not in {"proof", "check"}:
            words = ", ".join(part for part in (_becomes(one), one.state.words) if part)
            say(f"  {one.step}: {words}  {one.state.id}".rstrip())


def say_removals(plan: Plan, found: Sequence[tuple[str, Sequence[str]]]) -> None:
    """What `destroy` will remove; `found` are the steps, and what there is of each."""
    say(f"{plan.name} in {place_of(plan.place)}:")
    lines = [f"  {step}: will be removed, {words}" for step, each in found for words in each]
    for line in lines or ["  there is nothing of it"]:
        say(line)


def _becomes(one: Done) -> str:
    state = one.state
    if one.kind == "executable" and state.status == "absent":
        return "must be there first"
    if state.status == "broken":
        anew = state.facts.get("state") not in _LOOKED_AT
        return "will be removed and made anew" if anew else "must be looked at first"
    return _BECOMES.get(state.status, "")
