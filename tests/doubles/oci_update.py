"""
Which updates of a model deployment OCI takes, in which state.

https://docs.oracle.com/iaas/Content/data-science/using/model-dep-edit.htm and the SDK's words at
`update_model_deployment`, the stricter of both: an active deployment takes one group of options at
a time, an inactive one all of them. What is left out, or null, stays as it is.
"""

from __future__ import annotations

from typing import Any

_GROUPS = {
    "modelId": "model",
    "instanceShapeName": "compute",
    "modelDeploymentInstanceShapeConfigDetails": "compute",
    "instanceCount": "compute",
    "bandwidthMbps": "load balancer",
    "categoryLogDetails": "logging",
    "displayName": "name",
    "description": "name",
    "freeformTags": "name",
}
# Replaced as a whole where they are given.
_WHOLE = {"environmentVariables", "freeformTags", "categoryLogDetails"}


def refusal(found: dict[str, Any], asked: dict[str, Any]) -> str:
    """Why the update is refused; empty where it is taken."""
    state = found["lifecycleState"]
    if state == "INACTIVE":
        return ""
    if state not in {"ACTIVE", "NEEDS_ATTENTION"}:
        return f"the deployment is {state}"
    changed = _changed(found, asked)
    if None in changed:
        return "this may be changed only while the deployment is INACTIVE"
    if len(changed) > 1:
        return f"one group of options at a time: {sorted(map(str, changed))}"
    return ""


def merged(found: Any, asked: Any) -> Any:
    """The deployment, once the update is done."""
    if not isinstance(found, dict) or not isinstance(asked, dict):
        return asked
    kind = "environmentConfigurationType"
    if kind in asked and found.get(kind) != asked[kind]:
        return asked
    result = dict(found)
    for key, value in asked.items():
        if value is not None:
            whole = key in _WHOLE or key not in result
            result[key] = value if whole else merged(result[key], value)
    return result


def _changed(found: Any, asked: dict[str, Any], group: str | None = None) -> set[str | None]:
    """The groups of what is not as it was; None is one that an active deployment does not take."""
    changed: set[str | None] = set()
    for key, value in asked.items():
        before = found.get(key) if isinstance(found, dict) else None
        of = _GROUPS.get(key, group)
        if value is None or value == before:
            continue
        if isinstance(value, dict) and key not in {*_WHOLE, *_GROUPS}:
            changed |= _changed(before, value, of)
        else:
            changed.add(of)
    return changed
