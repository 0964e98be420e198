"""Which kind each step is of; a new kind is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from embedway_deploy.aicore.kind import ArtifactKind, ConfigurationKind, ExecutableKind
from embedway_deploy.aicore.serving import ServingKind
from embedway_deploy.kind.check import CheckKind
from embedway_deploy.kind.deployment import DeploymentKind
from embedway_deploy.kind.kind import Kind
from embedway_deploy.kind.model import ModelKind
from embedway_deploy.kind.proof import ProofKind
from embedway_deploy.kind.publication import PublicationKind
from embedway_deploy.kind.upload import UploadKind
from embedway_deploy.plan import Step

__all__ = ["kind_of"]

_KINDS: Mapping[str, object] = MappingProxyType(
    {
        "proof": ProofKind(),
        "upload": UploadKind(),
        "model": ModelKind(),
        "deployment": DeploymentKind(),
        "executable": ExecutableKind(),
        "artifact": ArtifactKind(),
        "configuration": ConfigurationKind(),
        "serving": ServingKind(),
        "check": CheckKind(),
        "publication": PublicationKind(),
    }
)


def kind_of(step: Step) -> Kind[Step]:
    """The kind that makes the step."""
    # The discriminator of the step is the key: each kind takes exactly its own class.
    return cast("Kind[Step]", _KINDS[step.kind])
