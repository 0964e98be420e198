"""Plans an embedding model as AI Quick Actions deploys it: in Oracle's vLLM, or one's own TEI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError

from embedway_deploy.aqua.config import deployment_config
from embedway_deploy.cost import costs
from embedway_deploy.error import Refused
from embedway_deploy.file import Files, list_files
from embedway_deploy.infinity.folder import prepare
from embedway_deploy.model import HIDDEN, deploy_home, read_model, tag_of
from embedway_deploy.order import Bucket, Order, plan_name
from embedway_deploy.plan import Plan, Step
from embedway_deploy.policy import statements
from embedway_deploy.precision import DTYPES, Dtype, about, has_gpu, tei_dtype, vllm_dtype
from embedway_deploy.prefix import prefix_of
from embedway_deploy.step import Check, Container, Deployment, Model, Publication, Shape, Upload
from embedway_deploy.tei.plan import TEI
from embedway_deploy.tei.plan import command as tei_command
from embedway_gateway.precision import AGREEMENT, Precision

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["Aqua", "plan_aqua"]

# Where the platform puts the objects of a model by reference, by their names in the bucket.
_DEPLOYED = "/opt/ds/model/deployed_model/"
_PATH = "/v1/embeddings"
_FAMILIES = {"vllm": "odsc-vllm-serving", "tei": "odsc-tei-serving"}
# Words of the container's command line, which a shell splits.
_PLAIN = re.compile(r"[\w./:-]+")
# Since then `--task embed` is `--runner pooling`; Oracle's tags go on, as 0.11.0.1.
_RUNNER = (0, 10, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aqua:
    """
    `image` is Oracle's, `dsmc://odsc-vllm-serving:<tag>`, or a TEI in OCI's registry. `shapes` are
    offered for the model besides the one that it is deployed on.
    """

    image: str
    shapes: tuple[Shape, ...] = ()
    port: int = 8080
    dtype: Dtype | None = None
    """None: as the server chooses; stated in its command all the same."""

    @property
    def container(self) -> Literal["vllm", "tei"]:
        """Which server it holds."""
        last = self.image.rpartition("/")[2]
        return "tei" if re.search(r"text-embeddings-inference|\btei\b", last) else "vllm"


def plan_aqua(order: Order, *, aqua: Aqua) -> Plan:
    """
    Reads the model on this machine, and says what would be made of it.

    Nothing of it touches the cloud. Raises `Refused` with what is wrong with the input.
    """
    if order.bucket is None:
        raise Refused(["AI Quick Actions takes models from a bucket: give --bucket oci://…"])
    if problems := list(_problems(order, aqua)):
        raise Refused(problems)
    checkpoint = read_model(order)
    parameters = _parameters(order, aqua, checkpoint)
    source = _prepared(order, aqua, checkpoint, parameters)
    try:
        steps = tuple(_steps(order, order.bucket, aqua, checkpoint=checkpoint, source=source))
    except ValidationError as error:
        raise Refused([one["msg"] for one in error.errors(include_url=False)]) from None
    return Plan(
        name=plan_name(order, "aqua"),
        engine=aqua.container,
        model=order.called,
        dimensions=checkpoint.hidden,
        place=order.place,
        steps=steps,
        policies=statements(
            order.groups,
            compartment_id=order.place.compartment_id,
            region=order.place.region,
            bucket=order.bucket.name,
            container=aqua.container == "tei",
            logged=order.log is not None,
            networked=order.shape.subnet_id is not None,
        ),
        costs=costs(order.shape, stored=source.bytes, logged=order.log is not None),
        notes=(
            (
                "AI Quick Actions lists both, the model and the deployment; its buckets for "
                "telemetry are left out of the environment"
            ),
            *about(_precision(order, aqua, checkpoint)),
        ),
    )


def _problems(order: Order, aqua: Aqua) -> Sequence[str]:
    found = []
    vllm = aqua.container == "vllm"
    if vllm and not aqua.image.startswith("dsmc://"):
        found.append(
            f"{aqua.image} is neither Oracle's vLLM, dsmc://odsc-vllm-serving:<tag>, nor a "
            "text-embeddings-inference in OCI's registry"
        )
    if vllm and not version_of(aqua.image):
        found.append(f"{aqua.image} names no version, on which vLLM's options depend; give a tag")
    if vllm and not has_gpu(order.shape):
        found.append(
            f"{order.shape.name} has no GPU, which Oracle's vLLM needs; --shape VM.GPU.A10.1"
        )
    if _PLAIN.fullmatch(order.called) is None:
        found.append(
            f"the name {order.called!r} cannot stand in a command line; give another with "
            "--served-name"
        )
    return found


def version_of(image: str) -> tuple[int, ...]:
    """As (0, 11, 0), from a tag such as `0.11.0.1`; empty where there is none."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", image.rpartition("/")[2].rpartition(":")[2])
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _parameters(order: Order, aqua: Aqua, checkpoint: Checkpoint) -> str:
    """The command line of vLLM, which pools as the folder's `1_Pooling` says."""
    if aqua.container == "tei":
        return ""
    runs = "--runner pooling" if version_of(aqua.image) >= _RUNNER else "--task embed"
    return (
        f"--served-model-name {order.called} --seed 42 {runs} "
        f"--max-model-len {checkpoint.max_tokens} --dtype {vllm_dtype(aqua.dtype, checkpoint)}"
    )


def _precision(order: Order, aqua: Aqua, checkpoint: Checkpoint) -> Precision:
    if aqua.container == "tei":
        return DTYPES[tei_dtype(aqua.dtype, order.shape)]
    return DTYPES[vllm_dtype(aqua.dtype, checkpoint)]


def _prepared(order: Order, aqua: Aqua, checkpoint: Checkpoint, parameters: str) -> Files:
    target: Path = deploy_home(order) / plan_name(order, "aqua") / "model"
    prepare(checkpoint, target)
    folder = target / "config"
    folder.mkdir(exist_ok=True)
    # What AI Quick Actions sets itself may not be among them.
    own = re.sub(r"--served-model-name \S+ --seed \d+ ", "", parameters)
    text = deployment_config(
        (order.shape, *aqua.shapes), parameters={"VLLM_PARAMS": own} if own else {}
    )
    (folder / "deployment_config.json").write_text(text, "utf-8")
    return list_files(target)


def _steps(
    order: Order, bucket: Bucket, aqua: Aqua, *, checkpoint: Checkpoint, source: Files
) -> list[Step]:
    precision = _precision(order, aqua, checkpoint)
    prefix = prefix_of(bucket.prefix, plan_name(order, "aqua"), order.place, source.digest)
    upload = Upload(namespace=bucket.namespace, bucket=bucket.name, prefix=prefix, source=source)
    return [
        upload,
        _model(order, aqua, upload, checkpoint=checkpoint),
        _deployment(order, aqua, checkpoint, prefix=prefix),
        Check(
            engine=aqua.container,
            model=order.model,
            dimensions=checkpoint.hidden,
            # vLLM refuses a text that is too long.
            max_tokens=checkpoint.max_tokens if aqua.container == "tei" else None,
            served=order.called if aqua.container == "vllm" else None,
            precision=precision,
            agreement=AGREEMENT[precision],
        ),
        Publication(
            tags=tag_of(
                order,
                checkpoint,
                engine=aqua.container,
                extra=", invoke=predict",
                precision=precision,
            )
        ),
    ]


def _model(order: Order, aqua: Aqua, upload: Upload, *, checkpoint: Checkpoint) -> Model:
    metadata = {
        "artifact_location": upload.uri,
        "deployment-container": _FAMILIES[aqua.container],
        "evaluation-container": "odsc-llm-evaluate",
    }
    if aqua.container == "tei":
        words = _tei(order, aqua, checkpoint, prefix=upload.prefix)
        metadata |= {
            "deployment-container-uri": aqua.image,
            "container-cmd-var": " ".join(words),
        }
    return Model(
        display_name=order.called,
        description=f"{order.called}: safetensors by reference, by Embedway",
        upload="upload",
        tags={
            "OCI_AQUA": "active",
            "aqua_custom_base_model": "true",
            "task": "text_embedding",
            "organization": order.called.rpartition("/")[0],
            "ready_to_fine_tune": "false",
        },
        metadata=metadata,
    )


def _deployment(order: Order, aqua: Aqua, checkpoint: Checkpoint, *, prefix: str) -> Deployment:
    environment = {
        "BASE_MODEL": prefix.rstrip("/"),
        "MODEL_DEPLOY_PREDICT_ENDPOINT": _PATH,
        "MODEL_DEPLOY_HEALTH_ENDPOINT": "/health",
    }
    if parameters := _parameters(order, aqua, checkpoint):
        environment["PARAMS"] = parameters
    else:
        environment["AUTO_TRUNCATE"] = "true"
    tags = {
        "OCI_AQUA": "active",
        "aqua_model_name": order.called,
        "aqua_custom_base_model": "true",
        "task": "text_embedding",
    }
    command = _tei(order, aqua, checkpoint, prefix=prefix) if aqua.container == "tei" else ()
    return Deployment(
        display_name=f"{order.called} (AQUA)",
        description=f"{order.called} in {aqua.image.rpartition('/')[2]}, by Embedway",
        shape=order.shape,
        container=Container(
            image=aqua.image,
            command=command,
            server_port=aqua.port,
            health_check_port=aqua.port,
        ),
        environment=environment,
        log=order.log,
        tags={**tags, **HIDDEN},
    )


def _tei(order: Order, aqua: Aqua, checkpoint: Checkpoint, *, prefix: str) -> tuple[str, ...]:
    server, shape = TEI(image=aqua.image, port=aqua.port, dtype=aqua.dtype), order.shape
    return tei_command(
        server, checkpoint, shape=shape, served=order.called, path=f"{_DEPLOYED}{prefix}"
    )
