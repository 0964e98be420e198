"""The steps of a plan for SAP AI Core: what each makes, in every detail that decides it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from embedway_deploy.aicore.place import Id
from embedway_deploy.file import Files
from embedway_gateway.config.strict import Strict

__all__ = ["Artifact", "Configuration", "Executable", "Serving"]

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Value = Annotated[str, Field(max_length=5000)]


class Executable(Strict):
    """
    A serving template, which AI Core reads from a repository of git. `source` holds it, and what
    its image is built from; `parameters` and `artifact` are what it must know.
    """

    kind: Literal["executable"] = "executable"
    name: Name = "executable"
    executable_id: Id
    version: str
    """What its description ends with."""
    source: Files
    parameters: tuple[str, ...]
    artifact: str


class Artifact(Strict):
    """The model's files in an object store that AI Core knows; who deploys has put them there."""

    kind: Literal["artifact"] = "artifact"
    name: Name = "artifact"
    display_name: Annotated[str, Field(max_length=256)]
    description: str
    url: Annotated[str, Field(pattern=r"^ai://[^/]+/.+", max_length=1024)]
    source: Files


class Configuration(Strict):
    """Values for the template's parameters. It cannot be changed: other values are another one."""

    kind: Literal["configuration"] = "configuration"
    name: Name = "configuration"
    executable: str = "executable"
    artifact: str = "artifact"
    parameters: dict[str, Value]


class Serving(Strict):
    """A deployment on AI Core."""

    kind: Literal["serving"] = "serving"
    name: Name = "deployment"
    configuration: str = "configuration"
