"""A plan: everything that a deployment consists of, in the order in which it is made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

import yaml
from pydantic import Field, ValidationError, model_validator

from embedway_deploy.aicore.place import AICorePlace
from embedway_deploy.aicore.step import Artifact, Configuration, Executable, Serving
from embedway_deploy.error import Refused
from embedway_deploy.file import Files
from embedway_deploy.step import Check, Deployment, Model, Name, Proof, Publication, Upload
from embedway_gateway.config.document import read_yaml
from embedway_gateway.config.strict import Strict

__all__ = ["DIGEST_TAG", "PLAN_TAG", "OCIPlace", "Plan", "Step", "load_plan"]

PLAN_TAG = "embedway-plan"
"""The freeform tag by which a plan's resources are found again: its value is the plan's name."""
DIGEST_TAG = "embedway-digest"
"""What the resource was made from; the same digest is the same resource."""

# A tag's value has 256 characters; half a SHA-256 is enough to tell two plans apart.
_DIGITS = 32

# Another platform's steps join here, and their kinds in `kind/registry.py`.
Step: TypeAlias = Annotated[
    Proof
    | Upload
    | Model
    | Deployment
    | Executable
    | Artifact
    | Configuration
    | Serving
    | Check
    | Publication,
    Field(discriminator="kind"),
]
_Sourced: TypeAlias = Proof | Upload | Model | Executable | Artifact


class OCIPlace(Strict):
    """Where on OCI. `service_endpoint` replaces every host of OCI's interface: for stand-ins."""

    platform: Literal["oci"] = "oci"
    region: str
    compartment_id: str
    project_id: str
    service_endpoint: str | None = None


class Plan(Strict):
    """
    Frozen, and complete: two equal plans make the same things. Nothing in it is secret.

    `name` marks everything that is made, so a second deployment of a model needs another one.
    """

    version: Literal[1] = 1
    name: Name
    engine: Literal["onnx", "tei", "ovms", "infinity", "vllm"]
    model: str
    dimensions: int = Field(ge=1)
    place: Annotated[OCIPlace | AICorePlace, Field(discriminator="platform")]
    steps: tuple[Step, ...] = Field(min_length=1)
    policies: tuple[str, ...] = ()
    """IAM statements that must be there, for people and for the deployment itself."""
    costs: tuple[str, ...] = ()
    """What is paid for, and on what it depends."""
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _is_in_order(self) -> Self:
        before: set[str] = set()
        for step in self.steps:
            if step.name in before:
                raise ValueError(f"two steps are called {step.name}")
            if missing := [one for one in _needs(step) if one not in before]:
                raise ValueError(f"step {step.name} needs {missing[0]}, which is not before it")
            before.add(step.name)
        return self

    @property
    def oci(self) -> OCIPlace:
        """The place, of a plan for OCI."""
        assert isinstance(self.place, OCIPlace)
        return self.place

    def step(self, name: str) -> Step:
        """The step of that name."""
        return next(step for step in self.steps if step.name == name)

    def digest(self, step: Step) -> str:
        """What decides the step's resource: its own facts, and those of the steps it needs."""
        facts = step.model_dump(mode="json")
        if isinstance(step, _Sourced) and step.source is not None:
            # Where the folder is does not matter.
            facts["source"] = step.source.digest
        facts["needs"] = [self.digest(self.step(name)) for name in _needs(step)]
        text = json.dumps(facts, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]

    def tags(self, step: Step) -> dict[str, str]:
        """The freeform tags of the step's resource, those that find it again included."""
        if isinstance(step, Publication):
            return dict(step.tags)
        own = step.tags if isinstance(step, Model | Deployment) else {}
        return {**own, PLAN_TAG: self.name, DIGEST_TAG: self.digest(step)}

    @property
    def sources(self) -> tuple[Files, ...]:
        """The files of this machine that it needs."""
        found = (s.source for s in self.steps if isinstance(s, _Sourced))
        return tuple(source for source in found if source is not None)

    def dump(self) -> str:
        """
        As YAML, to be kept, read by people, and applied again.

        Raises `Refused` for a plan on AI Core that has no address.
        """
        if isinstance(self.place, AICorePlace):
            self.place.demand_address()
        values = self.model_dump(mode="json", exclude_none=True)
        text: str = yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=100)
        return text


def load_plan(path: Path) -> Plan:
    """Read a plan that was kept. Raises `Refused` with every mistake in it."""
    try:
        values, problems = read_yaml(path.read_text("utf-8"))
    except OSError as error:
        raise Refused([f"{path} cannot be read: {error.strerror}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Refused([f"{path} is not YAML: {type(error).__name__}"]) from None
    try:
        plan = Plan.model_validate(values)
    except ValidationError as error:
        problems += [
            f"{path}: {'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        raise Refused(problems) from None
    if problems:
        raise Refused([f"{path}: {problem}" for problem in problems])
    return plan


def _needs(step: Step) -> list[str]:
    if isinstance(step, Model):
        return [step.upload] if step.upload else []
    if isinstance(step, Deployment):
        return [step.model]
    if isinstance(step, Configuration):
        return [step.executable, step.artifact]
    if isinstance(step, Serving):
        return [step.configuration]
    if isinstance(step, Publication):
        return [step.deployment, step.check]
    return [step.deployment] if isinstance(step, Check) else []
