"""Plans OpenVINO Model Server, in its own container, on OCI Data Science."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from embedway_deploy.cost import costs
from embedway_deploy.error import Refused
from embedway_deploy.file import Files
from embedway_deploy.model import HIDDEN, deploy_home, read_model, tag_of
from embedway_deploy.order import Bucket, Order, plan_name
from embedway_deploy.ovms.repository import Layout, WeightFormat, prepare
from embedway_deploy.ovms.version import version_of
from embedway_deploy.plan import Plan, Step
from embedway_deploy.policy import statements
from embedway_deploy.precision import about
from embedway_deploy.prefix import prefix_of
from embedway_deploy.step import (
    Check,
    Container,
    Deployment,
    Endpoint,
    Model,
    Proof,
    Publication,
    Upload,
)
from embedway_gateway.precision import Precision

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["AGREEMENT", "OVMS", "plan_ovms"]

# Where the platform puts the objects of a model by reference, by their names in the bucket.
_DEPLOYED = "/opt/ds/model/deployed_model/"
_PATH = "/v3/embeddings"
_GRPC = 9000
# The least cosine with the local runtime; and of float32 the largest difference of two numbers.
AGREEMENT: Mapping[WeightFormat, float] = MappingProxyType(
    {"fp32": 0.9999, "fp16": 0.999, "int8": 0.99, "int4": 0.9}
)
# int4 has no threshold of its own in the gateway: its loosest.
_PRECISION: Mapping[WeightFormat, Precision] = MappingProxyType(
    {"fp32": "fp32", "fp16": "fp16", "int8": "int8", "int4": "int8"}
)
_QUANTISED: frozenset[WeightFormat] = frozenset({"int8", "int4"})
_TOLERANCE = 1e-4
# A server with bfloat16 in its processor, or another version of OpenVINO, is a little further off.
_SERVED = 0.999


@dataclass(frozen=True, slots=True, kw_only=True)
class OVMS:
    """How the model is converted, and the server started. `python` is one that has OpenVINO."""

    image: str
    weights: WeightFormat = "fp32"
    truncate: bool = True
    port: int = 8080
    invoke: Literal["predict", "suffix"] = "predict"
    python: str = sys.executable


def plan_ovms(order: Order, *, ovms: OVMS) -> Plan:
    """
    Converts the model on this machine, and says what would be made of it.

    Nothing of it touches the cloud. Raises `Refused` with what is wrong with the input.
    """
    if order.bucket is None:
        raise Refused(["a container's model comes from a bucket: give --bucket oci://…"])
    if ovms.port == _GRPC:
        raise Refused([f"port {_GRPC} is the one that the server speaks gRPC on"])
    _require_folder(order.served)
    version = version_of(ovms.image)
    checkpoint = read_model(order, plain=True)
    name, home = plan_name(order, "ovms"), deploy_home(order)
    layout = Layout(
        version=version, weights=ovms.weights, truncate=ovms.truncate, python=ovms.python
    )
    source = prepare(
        checkpoint, home / name / "models", name=order.called, layout=layout, home=home.parent
    )
    try:
        steps = tuple(_steps(order, order.bucket, ovms, checkpoint, source))
    except ValidationError as error:
        raise Refused([one["msg"] for one in error.errors(include_url=False)]) from None
    return Plan(
        name=name,
        engine="ovms",
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
        costs=costs(order.shape, stored=source.bytes, logged=order.log is not None),
        notes=tuple(_notes(ovms, checkpoint)),
    )


def _require_folder(name: str | None) -> None:
    """Raises `Refused` for one that would not stay inside of the folder that it is put into."""
    if name and not all(part.strip(".") for part in name.split("/")):
        raise Refused(
            [
                (
                    f"{name!r} cannot be a folder in the server's repository; give another "
                    "--served-name, as minilm or BAAI/bge-base"
                )
            ]
        )


def _steps(
    order: Order, bucket: Bucket, ovms: OVMS, checkpoint: Checkpoint, source: Files
) -> list[Step]:
    title, most = f"{order.called} (OVMS)", checkpoint.max_tokens
    prefix = prefix_of(bucket.prefix, plan_name(order, "ovms"), order.place, source.digest)
    agreement = AGREEMENT[ovms.weights]
    return [
        Proof(
            runtime="openvino",
            source=source,
            model=order.model,
            max_tokens=most,
            agreement=agreement,
            tolerance=_TOLERANCE if ovms.weights == "fp32" else None,
        ),
        Upload(namespace=bucket.namespace, bucket=bucket.name, prefix=prefix, source=source),
        Model(
            display_name=title,
            description=f"{order.called}: OpenVINO IR, {ovms.weights}, by reference, by Embedway",
            upload="upload",
            tags={"task": "text_embedding"},
        ),
        _deployment(order, ovms, title, path=f"{_DEPLOYED}{prefix}"),
        Check(
            engine="ovms",
            model=order.model,
            dimensions=checkpoint.hidden,
            max_tokens=most if ovms.truncate else None,
            invoke=ovms.invoke,
            precision=_PRECISION[ovms.weights],
            agreement=min(agreement, _SERVED),
        ),
        _published(order, ovms, checkpoint, source),
    ]


def _published(order: Order, ovms: OVMS, checkpoint: Checkpoint, source: Files) -> Publication:
    # What is quantised differs by the version of what quantises.
    form = f"{ovms.weights} {source.digest}" if ovms.weights in _QUANTISED else None
    return Publication(
        tags=tag_of(
            order,
            checkpoint,
            engine="ovms",
            extra=f", invoke={ovms.invoke}",
            precision=_PRECISION[ovms.weights],
            form=form,
        )
    )


def _deployment(order: Order, ovms: OVMS, title: str, *, path: str) -> Deployment:
    environment = {"MODEL_DEPLOY_HEALTH_ENDPOINT": "/v2/health/ready"}
    several = ovms.invoke == "suffix"
    if not several:
        environment = {"MODEL_DEPLOY_PREDICT_ENDPOINT": _PATH, **environment}
    return Deployment(
        display_name=title,
        description=f"{order.called} in {ovms.image.rpartition('/')[2]}, by Embedway",
        shape=order.shape,
        container=Container(
            image=ovms.image,
            command=(
                *("--config_path", f"{path}config.json"),
                *("--rest_port", str(ovms.port)),
                *("--port", str(_GRPC)),
            ),
            server_port=ovms.port,
            health_check_port=ovms.port,
            # OpenAI's specification has only /v1, which the server knows since 2026.3.
            endpoints=(Endpoint(path=_PATH, methods=("POST",)),) if several else (),
        ),
        environment=environment,
        log=order.log,
        tags=dict(HIDDEN),
    )


def _notes(ovms: OVMS, checkpoint: Checkpoint) -> list[str]:
    made = "our own graph of the weights" if checkpoint.onnx is None else "the model's ONNX export"
    notes = [
        (
            f"converted from {made} with OpenVINO; a server that is older than the OpenVINO that "
            "converted may not read it"
        )
    ]
    notes += about(_PRECISION[ovms.weights], word=ovms.weights)
    if not ovms.truncate:
        notes.append(f"a text of more than {checkpoint.max_tokens} tokens is answered with 400")
    return notes
