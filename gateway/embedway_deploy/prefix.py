"""Where in a bucket a plan's files are: a place that no other deployment has."""

from __future__ import annotations

import hashlib
import re

from embedway_deploy.plan import OCIPlace, Plan
from embedway_deploy.step import Upload

__all__ = ["EARLIER", "OWN", "kind_of_prefix", "own_root", "prefix_of"]

OWN = "own"
"""`…embedway/NAME/PLACE/DIGEST/`, of this plan's name and compartment."""
EARLIER = "earlier"
"""`…embedway/NAME/DIGEST/`, as plans were made before compartments were told apart."""

_DIGEST = r"[0-9a-f]{12}"


def prefix_of(before: str, name: str, place: OCIPlace, digest: str) -> str:
    """
    `before` is the bucket's own prefix. Deployments are told apart by compartment and name, and so
    are their files: two of one name may share a bucket.
    """
    return f"{before}embedway/{name}/{_mark(place)}/{digest[:12]}/"


def own_root(plan: Plan, step: Upload) -> str | None:
    """What is before the digests of the plan's versions; None unless it is this plan's alone."""
    if kind_of_prefix(plan, step) != OWN:
        return None
    return step.prefix.rstrip("/").rpartition("/")[0] + "/"


def kind_of_prefix(plan: Plan, step: Upload) -> str | None:
    """`OWN`, `EARLIER`, or None for a place that no plan of this name writes to."""
    name = re.escape(plan.name)
    if re.fullmatch(rf"(.*/)?embedway/{name}/{_mark(plan.oci)}/{_DIGEST}/", step.prefix):
        return OWN
    earlier = re.fullmatch(rf"(.*/)?embedway/{name}/{_DIGEST}/", step.prefix)
    return EARLIER if earlier else None


def _mark(place: OCIPlace) -> str:
    """Eight digits, so that it is never taken for the twelve of a version."""
    return hashlib.sha256(place.compartment_id.encode()).hexdigest()[:8]
