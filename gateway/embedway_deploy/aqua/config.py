"""Writes `config/deployment_config.json`: the shapes that AI Quick Actions offers for a model."""

from __future__ import annotations

import json
from collections.abc import Sequence

from embedway_deploy.step import Shape

__all__ = ["deployment_config"]


def deployment_config(shapes: Sequence[Shape], *, parameters: dict[str, str]) -> str:
    """
    As JSON. `parameters` are what a container family is started with, as `VLLM_PARAMS`; a flexible
    shape is offered in the size it has here.
    """
    configuration: dict[str, object] = {}
    for shape in shapes:
        stated: dict[str, object] = {"parameters": parameters}
        if shape.ocpus is not None:
            sized = {"ocpu": shape.ocpus, "memory_in_gbs": shape.memory_gb}
            stated["shape_info"] = {"configs": [sized], "type": "CPU"}
        configuration[shape.name] = stated
    content = {"configuration": configuration, "shape": [shape.name for shape in shapes]}
    return json.dumps(content, indent=2) + "\n"
