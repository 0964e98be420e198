"""Plans an ONNX model in a conda environment of OCI Data Science."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedway_deploy.cost import costs
from embedway_deploy.error import Refused
from embedway_deploy.file import Files
from embedway_deploy.model import HIDDEN, deploy_home, matryoshka_of, read_model, tag_of
from embedway_deploy.onnx.artifact import Conda, prepare
from embedway_deploy.order import Bucket, Order, plan_name
from embedway_deploy.plan import Plan, Step
from embedway_deploy.policy import statements
from embedway_deploy.precision import about, by_agreement
from embedway_deploy.prefix import prefix_of
from embedway_deploy.step import Check, Deployment, Model, Proof, Publication, Upload

if TYPE_CHECKING:
    from embedway_gateway.precision import Precision
    from embedway_local import Pooling
    from embedway_local.checkpoint import Checkpoint

__all__ = ["plan_onnx"]

# What the catalogue takes in one request; beyond, it fetches the archive from a bucket.
_MOST_BYTES = 2_000_000_000


def plan_onnx(
    order: Order,
    *,
    conda: Conda,
    graph: Path | None = None,
    pooling: Pooling | None = None,
    max_tokens: int | None = None,
    agreement: float | None = None,
) -> Plan:
    """
    Prepares the artifact folder on this machine, and says what would be made of it.

    `agreement` is the least cosine with the local runtime's vectors, for exports in less precision.
    Nothing of it touches the cloud. Raises `Refused` with what is wrong with the input.
    """
    name = plan_name(order, "onnx")
    checkpoint = read_model(order, pooling=pooling, max_tokens=max_tokens, plain=True)
    home = deploy_home(order)
    source = prepare(
        checkpoint,
        home / name / "artifact",
        name=order.called,
        conda=conda,
        home=home.parent,
        matryoshka=matryoshka_of(order),
        graph=graph,
    )
    large = _is_large(order, source)
    precision = by_agreement(agreement)
    steps = _steps(order, name, checkpoint, source, graph=graph, large=large, precision=precision)
    return Plan(
        name=name,
        engine="onnx",
        model=order.called,
        dimensions=checkpoint.hidden,
        place=order.place,
        steps=tuple(_compared(step, pooling, agreement) for step in steps),
        policies=statements(
            order.groups,
            compartment_id=order.place.compartment_id,
            region=order.place.region,
            bucket=order.bucket.name if large and order.bucket else None,
            exported=large,
            conda=conda.bucket,
            logged=order.log is not None,
            networked=order.shape.subnet_id is not None,
        ),
        costs=costs(order.shape, stored=source.bytes, logged=order.log is not None),
        notes=(
            "the graph is of ONNX opset 20, IR 10: the environment needs onnxruntime 1.18 or newer",
            *about(precision),
        ),
    )


def _is_large(order: Order, source: Files) -> bool:
    """Whether it has to go through a bucket; `Refused` where there is none."""
    large = source.bytes > _MOST_BYTES
    if large and order.bucket is None:
        raise Refused(
            [f"the artifact has {source.bytes:,} bytes; above 2 GB it needs --bucket oci://…"]
        )
    return large


def _steps(
    order: Order,
    name: str,
    checkpoint: Checkpoint,
    source: Files,
    *,
    graph: Path | None,
    large: bool,
    precision: Precision,
) -> list[Step]:
    title, size, most = f"{order.called} (ONNX)", checkpoint.hidden, checkpoint.max_tokens
    steps: list[Step] = [Proof(source=source, model=order.model, max_tokens=most)]
    if large and order.bucket is not None:
        steps.append(_archived(order, order.bucket, name, source))
    return [
        *steps,
        Model(
            display_name=title,
            description=f"{order.called}: ONNX graph, tokenizer, score.py, by Embedway",
            source=None if large else source,
            upload="upload" if large else None,
            tags={"task": "text_embedding"},
        ),
        Deployment(
            display_name=title,
            description=f"{order.called} in a conda environment, by Embedway",
            shape=order.shape,
            log=order.log,
            tags=dict(HIDDEN),
        ),
        Check(
            engine="onnx", model=order.model, dimensions=size, max_tokens=most, precision=precision
        ),
        Publication(
            tags=tag_of(order, checkpoint, engine="onnx", precision=precision, graph=graph)
        ),
    ]


def _compared(step: Step, pooling: Pooling | None, least: float | None) -> Step:
    """The same with what both comparisons must know, where it is one."""
    if not isinstance(step, Proof | Check):
        return step
    agreement = step.agreement if least is None else least
    return step.model_copy(update={"pooling": pooling, "agreement": agreement})


def _archived(order: Order, bucket: Bucket, name: str, source: Files) -> Upload:
    return Upload(
        namespace=bucket.namespace,
        bucket=bucket.name,
        prefix=prefix_of(bucket.prefix, name, order.place, source.digest),
        source=source,
        archive="artifact.zip",
        versioned=False,
    )
