"""The steps of a plan for OCI Data Science: what each makes, in every detail that decides it."""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from embedway_deploy.file import Files
from embedway_gateway.config.strict import Strict
from embedway_gateway.precision import Precision

__all__ = [
    "NAME",
    "Check",
    "Container",
    "Deployment",
    "Endpoint",
    "Log",
    "Model",
    "Proof",
    "Publication",
    "Shape",
    "Upload",
    "environment_bytes",
]

# https://docs.oracle.com/iaas/data-science/using/mod-dep-byoc-variables.htm
_MOST_ENVIRONMENT = 2048
_LONGEST_NAME = 31
_RESERVED_PORTS = frozenset({24224, 8446, 8447})

NAME = r"^[a-z0-9][a-z0-9-]{0,62}$"
"""Of a plan and of a step: it becomes a tag, a part of objects' names, and a folder."""

Pooling: TypeAlias = Literal["cls", "mean", "last"]
Port = Annotated[int, Field(ge=1024, le=65535)]
Name = Annotated[str, Field(pattern=NAME)]


class Upload(Strict):
    """Files in a bucket: as objects of their own, or as one zip that is called `archive`."""

    kind: Literal["upload"] = "upload"
    name: Name = "upload"
    namespace: str
    bucket: str
    prefix: Annotated[str, Field(pattern=r"^[^/].*/$")]
    source: Files
    archive: str | None = None
    versioned: bool = True
    """Whether the bucket must keep versions, which models by reference need."""

    @property
    def uri(self) -> str:
        """Where they are, as ADS writes it."""
        return f"oci://{self.bucket}@{self.namespace}/{self.prefix}{self.archive or ''}"


class Proof(Strict):
    """What was prepared is run on this machine, and held against the local runtime."""

    kind: Literal["proof"] = "proof"
    name: Name = "proof"
    runtime: Literal["score", "openvino"] = "score"
    """`score`: a score.py, as the platform and ADS run it. `openvino`: what its server loads."""
    source: Files
    model: str
    """Folder or name of the model that the local runtime embeds with."""
    max_tokens: int
    pooling: Pooling | None = None
    """Instead of what the model's folder says."""
    agreement: float = Field(default=0.9999, gt=0, le=1)
    """The least cosine between the two vectors of a text."""
    tolerance: float | None = Field(default=None, gt=0)
    """The largest difference between two numbers of unit vectors."""


class Model(Strict):
    """
    An entry of the model catalogue. Its artifact is `source`, sent as one zip; or what the upload
    of that name has put into a bucket: by reference, or as an archive that is exported from there.
    """

    kind: Literal["model"] = "model"
    name: Name = "model"
    display_name: str
    description: str
    source: Files | None = None
    upload: str | None = None
    tags: dict[str, str] = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.source is None) == (self.upload is None):
            raise ValueError("a model has either source or upload")
        return self


class Shape(Strict):
    """The machines of a deployment."""

    name: str
    ocpus: float | None = Field(default=None, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    replicas: int = Field(default=1, ge=1)
    bandwidth_mbps: int = Field(default=10, ge=10)
    subnet_id: str | None = None

    @model_validator(mode="after")
    def _is_sized(self) -> Self:
        flexible = self.name.endswith(".Flex")
        if flexible and (self.ocpus is None or self.memory_gb is None):
            raise ValueError(f"{self.name} needs ocpus and memory_gb")
        if not flexible and (self.ocpus is not None or self.memory_gb is not None):
            raise ValueError(f"{self.name} has a fixed size: no ocpus, no memory_gb")
        return self


class Endpoint(Strict):
    """A path of the container that is reached behind `/predict`."""

    path: str
    methods: tuple[Literal["GET", "POST", "PUT", "DELETE"], ...]


class Container(Strict):
    """What runs in a deployment with an image of one's own."""

    image: str
    image_digest: str | None = None
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    server_port: Port = 8080
    health_check_port: Port = 8080
    specification: Literal["openai"] | None = None
    """`predictApiSpecification`: OpenAI's paths behind `/predict`."""
    endpoints: tuple[Endpoint, ...] = Field(default=(), max_length=15)

    @model_validator(mode="after")
    def _has_free_ports(self) -> Self:
        if taken := _RESERVED_PORTS & {self.server_port, self.health_check_port}:
            raise ValueError(f"port {min(taken)} is the platform's own")
        return self


class Log(Strict):
    """Where the platform writes what was called, and what was printed."""

    group_id: str
    access_id: str | None = None
    predict_id: str | None = None


class Deployment(Strict):
    """A model deployment: a conda environment with the model's score.py, or a container."""

    kind: Literal["deployment"] = "deployment"
    name: Name = "deployment"
    display_name: str
    description: str
    model: str = "model"
    """The step that registers the model."""
    shape: Shape
    container: Container | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    log: Log | None = None
    tags: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_the_platform(self) -> Self:
        size = environment_bytes(self.environment)
        if size > _MOST_ENVIRONMENT:
            raise ValueError(
                f"the environment has {size} bytes, the platform takes {_MOST_ENVIRONMENT}"
            )
        for key in self.environment:
            if len(key) > _LONGEST_NAME:
                raise ValueError(f"the variable {key} has more than {_LONGEST_NAME} characters")
        return self


class Check(Strict):
    """Texts are embedded through the gateway's own code, and held against the local runtime."""

    kind: Literal["check"] = "check"
    name: Name = "check"
    deployment: str = "deployment"
    engine: Literal["onnx", "tei", "ovms", "infinity", "vllm"]
    model: str
    """Folder or name of the model that the local runtime embeds with."""
    dimensions: int = Field(ge=1)
    max_tokens: int | None = None
    pooling: Pooling | None = None
    """Instead of what the model's folder says."""
    invoke: Literal["predict", "route", "suffix"] = "predict"
    served: str | None = None
    """The name that the engine expects, where it is another."""
    precision: Precision = "fp32"
    """The number format that the deployment computes in."""
    agreement: float = Field(default=0.999, gt=0, le=1)
    """The least cosine between the two vectors of a text."""


class Publication(Strict):
    """A deployment that has passed its check gets the tags by which discovery finds it."""

    kind: Literal["publication"] = "publication"
    name: Name = "publication"
    deployment: str = "deployment"
    check: str = "check"
    tags: dict[str, str]


def environment_bytes(environment: dict[str, str]) -> int:
    """What the platform counts: names and values."""
    return sum(len(f"{key}{value}".encode()) for key, value in environment.items())
