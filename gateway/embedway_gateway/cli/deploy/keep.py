"""Keeps plans that were applied from this machine, one for each place, and finds them by name."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_gateway.cli.deploy.before import place_of

if TYPE_CHECKING:
    from embedway_deploy import Plan

__all__ = ["keep", "kept_plan"]

# As all plans of a name were kept, whatever their place, before there was one for each.
_EARLIER = "plan.yaml"


def keep(plan: Plan) -> None:
    """So that `status`, `logs` and `destroy` find it by its name."""
    folder = _folder(plan.name)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"plan-{_label(plan)}.yaml").write_text(plan.dump(), "utf-8")
    earlier = folder / _EARLIER
    if earlier.is_file() and _is_of(earlier, plan):
        earlier.unlink()


def kept_plan(written: str) -> Plan:
    """Of a file, or of the name that it was applied under. Raises `Refused`."""
    from embedway_deploy import Refused, load_plan

    path = Path(written).expanduser()
    if path.is_file():
        return load_plan(path)
    kept = sorted(_folder(written).glob("plan*.yaml")) if path.name == written else []
    if not kept:
        raise Refused(
            [
                (
                    f"{written!r} is neither a file nor a plan that was applied from here; write "
                    "one with --out, or make it again"
                )
            ]
        )
    if len(kept) > 1:
        lines = [f"{one} ({_place_in(one)})" for one in kept]
        raise Refused(
            [f"{written!r} was applied in several places; give the file of the one meant:", *lines]
        )
    return load_plan(kept[0])


def _place_in(path: Path) -> str:
    from embedway_deploy import Refused, load_plan

    try:
        return place_of(load_plan(path).place)
    except Refused:
        return "it cannot be read"


def _is_of(path: Path, plan: Plan) -> bool:
    """Whether the plan there is of the same place."""
    from embedway_deploy import Refused, load_plan

    try:
        return _label(load_plan(path)) == _label(plan)
    except Refused:
        return False


def _label(plan: Plan) -> str:
    """A file's name for what tells two deployments of one name apart; the start is for people."""
    place = plan.place
    if place.platform == "oci":
        start, facts = place.region, [place.region, place.compartment_id]
    else:
        start = place.resource_group
        facts = [place.api_url, start, place.scenario_id]
    digest = hashlib.sha256("\0".join(facts).encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9-]+', '-', start)[:48]}-{digest}"


def _folder(name: str) -> Path:
    from embedway_local import embedway_home

    return embedway_home() / "deploy" / name
