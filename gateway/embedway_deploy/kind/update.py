"""
What differs between a deployment and its step, and how OCI takes the change.

OCI changes an active deployment one group of options at a time, without an outage: the model; the
machines' shape, size and number; bandwidth; logs. Everything else it takes while the deployment is
inactive, and some things never: what an update leaves out stays as it is.

https://docs.oracle.com/iaas/Content/data-science/using/model-dep-edit.htm, and the SDK at
`update_model_deployment`. They differ on variables and the container, which are therefore changed
while inactive: a container's command names the folder of its model, so that one without the other
would not start.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from embedway_deploy.client import Resource
from embedway_deploy.kind.specification import Group, create_details
from embedway_deploy.run import Run
from embedway_deploy.step import Deployment

__all__ = ["Difference", "difference"]

_CONFIGURATION = "model_deployment_configuration_details"
_MODEL = f"{_CONFIGURATION}.model_configuration_details"
_INSTANCE = f"{_MODEL}.instance_configuration"
_ENVIRONMENT = f"{_CONFIGURATION}.environment_configuration_details"

_LIVE: tuple[tuple[Group, tuple[str, ...]], ...] = (
    ("model", (f"{_MODEL}.model_id",)),
    (
        "machines",
        (
            f"{_INSTANCE}.instance_shape_name",
            f"{_INSTANCE}.model_deployment_instance_shape_config_details",
            f"{_MODEL}.scaling_policy.instance_count",
        ),
    ),
    ("bandwidth", (f"{_MODEL}.bandwidth_mbps",)),
    ("logs", ("category_log_details.access", "category_log_details.predict")),
)
_INACTIVE = {
    "its subnet": f"{_INSTANCE}.subnet_id",
    "its kind of environment": f"{_ENVIRONMENT}.environment_configuration_type",
    "its image": f"{_ENVIRONMENT}.image",
    "its image's digest": f"{_ENVIRONMENT}.image_digest",
    "its command": f"{_ENVIRONMENT}.cmd",
    "its entrypoint": f"{_ENVIRONMENT}.entrypoint",
    "its port": f"{_ENVIRONMENT}.server_port",
    "its health check's port": f"{_ENVIRONMENT}.health_check_port",
    "its inference endpoints": f"{_ENVIRONMENT}.custom_http_endpoints",
    "its API specification": f"{_ENVIRONMENT}.predict_api_specification",
}
_VARIABLES = f"{_ENVIRONMENT}.environment_variables"
_LASTING = {
    "its access log": "category_log_details.access",
    "its predict log": "category_log_details.predict",
    **{
        words: path
        for words, path in _INACTIVE.items()
        # The digest is OCI's own where a plan names none.
        if words not in {"its kind of environment", "its image", "its image's digest"}
    },
}


@dataclass(frozen=True, slots=True)
class Difference:
    """`live`: groups, each for a request of its own. `outage`, `lasting`: in words."""

    live: tuple[Group, ...] = ()
    outage: tuple[str, ...] = ()
    """What is changed only while the deployment is inactive."""
    lasting: tuple[str, ...] = ()
    """What the step does not have any more, and no update takes away."""


def difference(found: Resource, step: Deployment, run: Run) -> Difference:
    """`found` as OCI lists it; a model that is not there yet is another one."""
    from oci.util import to_dict

    now = cast("Mapping[str, object]", to_dict(found))
    wanted = cast("Mapping[str, object]", to_dict(create_details(step, run)))

    def differs(path: str) -> bool:
        return not _holds(_at(now, path), _at(wanted, path))

    outage = [words for words, path in _INACTIVE.items() if differs(path)]
    if (_at(now, _VARIABLES) or {}) != (_at(wanted, _VARIABLES) or {}):
        outage.append("its variables")
    return Difference(
        live=tuple(group for group, paths in _LIVE if any(map(differs, paths))),
        outage=tuple(outage),
        lasting=tuple(_lasting(now, wanted)),
    )


def _lasting(now: Mapping[str, object], wanted: Mapping[str, object]) -> Iterator[str]:
    kind = f"{_ENVIRONMENT}.environment_configuration_type"
    same = _at(now, kind) == _at(wanted, kind)
    for words, path in _LASTING.items():
        # Of another kind of environment everything is new.
        inside = path.startswith(_ENVIRONMENT)
        if (same or not inside) and _at(now, path) and not _at(wanted, path):
            yield words


def _at(facts: object, path: str) -> object:
    for name in path.split("."):
        facts = facts.get(name) if isinstance(facts, Mapping) else None
    return facts


def _holds(now: object, wanted: object) -> bool:
    """Whether it says what is wanted; what nobody asked for is OCI's own."""
    if wanted is None:
        return True
    if isinstance(wanted, Mapping):
        return all(_holds(_at(now, key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        if not isinstance(now, list) or len(now) != len(wanted):
            return False
        return all(_holds(one, other) for one, other in zip(now, wanted, strict=True))
    return now == wanted
