"""Plans text-embeddings-inference, in its own container, on OCI Data Science."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from embedway_deploy.cost import costs
from embedway_deploy.error import Refused
from embedway_deploy.model import HIDDEN, deploy_home, read_model, tag_of
from embedway_deploy.order import Bucket, Order, plan_name
from embedway_deploy.plan import Plan, Step
from embedway_deploy.policy import statements
from embedway_deploy.precision import DTYPES, Dtype, about, tei_dtype
from embedway_deploy.prefix import prefix_of
from embedway_deploy.step import Check, Container, Deployment, Model, Publication, Shape, Upload
from embedway_deploy.tei.folder import prepare
from embedway_gateway.precision import AGREEMENT

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["TEI", "plan_tei"]

# Where the platform puts the objects of a model by reference, by their names in the bucket.
_DEPLOYED = "/opt/ds/model/deployed_model/"
_POOLINGS = {"cls": "cls", "mean": "mean", "last": "last-token"}
_METRICS = 9000
# From this version on it takes the name that it calls itself, which before was a local path.
_NAMED = (1, 9)


@dataclass(frozen=True, slots=True, kw_only=True)
class TEI:
    """How the server is started. `image` is in OCI's registry, with a tag that names a version."""

    image: str
    port: int = 8080
    max_client_batch_size: int = 32
    max_batch_tokens: int = 16384
    """At least as many as the model's longest text has."""
    dtype: Dtype | None = None
    """None: as TEI chooses, float16 on a GPU; stated in the command all the same."""
    invoke: Literal["predict", "suffix"] = "predict"
    """`suffix`: OpenAI's paths behind /predict, several inference endpoints at once."""


def plan_tei(order: Order, *, tei: TEI) -> Plan:
    """
    Reads the model on this machine, and says what would be made of it.

    Nothing of it touches the cloud. Raises `Refused` with what is wrong with the input.
    """
    if order.bucket is None:
        raise Refused(["a container's model comes from a bucket: give --bucket oci://…"])
    if tei.port == _METRICS:
        raise Refused([f"port {_METRICS} is the one that TEI writes its metrics on"])
    precision = DTYPES[tei_dtype(tei.dtype, order.shape)]
    checkpoint = read_model(order, plain=True)
    try:
        steps = tuple(_steps(order, order.bucket, tei, checkpoint))
    except ValidationError as error:
        raise Refused([one["msg"] for one in error.errors(include_url=False)]) from None
    stored = sum(step.source.bytes for step in steps if isinstance(step, Upload))
    return Plan(
        name=plan_name(order, "tei"),
        engine="tei",
        model=order.called,
        dimensions=checkpoint.hidden,
        place=order.place,
        steps=steps,
        policies=statements(
            order.groups,
            compartment_id=order.place.compartment_id,
            region=order.place.region,
            bucket=order.bucket.name,
            container=True,
            logged=order.log is not None,
            networked=order.shape.subnet_id is not None,
        ),
        costs=costs(order.shape, stored=stored, logged=order.log is not None),
        notes=(*_notes(checkpoint, tei), *about(precision)),
    )


def command(
    tei: TEI, checkpoint: Checkpoint, *, shape: Shape, served: str, path: str
) -> tuple[str, ...]:
    """What the container is started with; everything that decides a vector is stated."""
    words = [
        *("--model-id", path),
        *("--hostname", "0.0.0.0"),  # noqa: S104 - the platform calls it from outside the container
        *("--port", str(tei.port)),
        *("--pooling", _POOLINGS[checkpoint.pooling]),
        *("--dtype", tei_dtype(tei.dtype, shape)),
        *("--max-client-batch-size", str(tei.max_client_batch_size)),
        # TEI reads no more of a text than fits into a batch, and says so in its log alone.
        *("--max-batch-tokens", str(max(tei.max_batch_tokens, checkpoint.max_tokens))),
    ]
    version = version_of(tei.image)
    # Up to 1.8 a flag, and off; since 1.9 on. AUTO_TRUNCATE says it to every version besides.
    if () < version < _NAMED:
        words.append("--auto-truncate")
    if version >= _NAMED:
        words += ["--served-model-name", served]
    return tuple(words)


def version_of(image: str) -> tuple[int, ...]:
    """As (1, 9, 3), from a tag such as `cpu-1.9.3`; empty where the tag names none."""
    match = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?(?!.*:)", image.rpartition(":")[2])
    return tuple(int(part) for part in match.groups() if part) if match else ()


def _steps(order: Order, bucket: Bucket, tei: TEI, checkpoint: Checkpoint) -> list[Step]:
    name, precision = plan_name(order, "tei"), DTYPES[tei_dtype(tei.dtype, order.shape)]
    source = prepare(checkpoint, deploy_home(order) / name / "model")
    prefix = prefix_of(bucket.prefix, name, order.place, source.digest)
    return [
        Upload(namespace=bucket.namespace, bucket=bucket.name, prefix=prefix, source=source),
        Model(
            display_name=f"{order.called} (TEI)",
            description=f"{order.called}: safetensors by reference, by Embedway",
            upload="upload",
            tags={"task": "text_embedding"},
        ),
        _deployment(order, tei, checkpoint, f"{_DEPLOYED}{prefix}"),
        Check(
            engine="tei",
            model=order.model,
            dimensions=checkpoint.hidden,
            max_tokens=checkpoint.max_tokens,
            invoke=tei.invoke,
            precision=precision,
            agreement=AGREEMENT[precision],
        ),
        Publication(
            tags=tag_of(
                order,
                checkpoint,
                engine="tei",
                extra=f", invoke={tei.invoke}",
                precision=precision,
            )
        ),
    ]


def _deployment(order: Order, tei: TEI, checkpoint: Checkpoint, path: str) -> Deployment:
    environment = {"MODEL_DEPLOY_HEALTH_ENDPOINT": "/health", "AUTO_TRUNCATE": "true"}
    if tei.invoke == "predict":
        environment = {"MODEL_DEPLOY_PREDICT_ENDPOINT": "/v1/embeddings", **environment}
    return Deployment(
        display_name=f"{order.called} (TEI)",
        description=f"{order.called} in {tei.image.rpartition('/')[2]}, by Embedway",
        shape=order.shape,
        container=Container(
            image=tei.image,
            command=command(tei, checkpoint, shape=order.shape, served=order.called, path=path),
            server_port=tei.port,
            health_check_port=tei.port,
            specification="openai" if tei.invoke == "suffix" else None,
        ),
        environment=environment,
        log=order.log,
        tags=dict(HIDDEN),
    )


def _notes(checkpoint: Checkpoint, tei: TEI) -> list[str]:
    notes = []
    if version_of(tei.image) < _NAMED:
        notes.append(
            "this TEI is older than 1.9, or its tag names no version: it calls itself by its "
            "folder, which the gateway does not show"
        )
    if checkpoint.lowercase:
        notes.append("TEI does not lower-case, which this model's pipeline does: compare first")
    return notes
