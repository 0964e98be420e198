"""What discovery finds, and what a source of it must answer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from embedway_gateway.precision import Precision

__all__ = ["Capability", "EngineName", "Found", "Invoke", "Source"]

Capability = Literal["embed", "rerank", "chat"]
EngineName = Literal["tei", "ovms", "onnx", "infinity", "vllm", "openai"]
Invoke = Literal["predict", "route", "suffix"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """
    One way to call one model on one deployment: the facts of an upstream of the configuration.

    Several with the same `name` are replicas. `aliases` are further names it goes by, which may
    be those of other models as well: a name that two models claim belongs to neither.
    """

    name: str
    aliases: tuple[str, ...] = ()
    engine: EngineName
    platform: Literal["oci", "aicore"]
    url: str
    """As the platform states it, never derived."""
    invoke: Invoke | None = None
    """On OCI only."""
    path: str | None = None
    """Where it is not the engine's own."""
    model: str | None = None
    """The name that the engine expects; None: the model's."""
    capabilities: frozenset[Capability]
    dimensions: int | None = None
    pooling: str | None = None
    precision: Precision | None = None
    """Where the platform says it."""
    resource_group: str | None = None
    """On AI Core only."""
    revision: str | None = None
    """Which weights it has, as whoever deployed them says."""
    deployment: str
    """Its id on the platform."""
    created: float | None = None
    """When the deployment was, in seconds since 1970; None where the platform does not say."""
    content: str = ""
    """What the platform says that runs there: another text, and another model may."""
    source: str
    state: str = field(compare=False)
    """As the platform words it; while it is updated, a deployment is what it was."""

    @property
    def upstream(self) -> str:
        """A name for the upstream, fit for a header: the platform and the end of the id."""
        end = "".join(letter for letter in self.deployment if letter.isascii() and letter.isalnum())
        return f"{self.platform}-{end[-12:].lower()}"

    @property
    def identity(self) -> str:
        """What tells the model that it is from every other one, as far as the platform can."""
        facts = [self.platform, self.deployment, self.content, self.model, self.path, self.pooling]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


class Source(Protocol):
    """
    Lists what serves now, whole: an `EmbeddingError` says that it could not be listed, an empty
    list that nothing serves. What is broken or unknown in one item hides no other.
    """

    @property
    def name(self) -> str: ...
    async def list(self) -> Sequence[Found]: ...
