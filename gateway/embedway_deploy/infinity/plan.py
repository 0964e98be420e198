"""Plans infinity on SAP AI Core."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from embedway_deploy.aicore.place import AICorePlace
from embedway_deploy.aicore.step import Artifact, Configuration, Executable, Serving
from embedway_deploy.error import Refused
from embedway_deploy.file import Files, list_files
from embedway_deploy.infinity.folder import prepare
from embedway_deploy.infinity.template import ARTIFACT, defaults
from embedway_deploy.infinity.template import template as template_text
from embedway_deploy.model import deploy_home, read_model, revision_of
from embedway_deploy.order import NamedModel, plan_name
from embedway_deploy.plan import Plan, Step
from embedway_deploy.precision import DTYPES, Dtype, about
from embedway_deploy.step import Check

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["Infinity", "plan_infinity"]

_POOLINGS = {"cls": "cls", "mean": "mean", "last": "auto"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Infinity:
    """
    How the server is started. `object_store` is the name of AI Core's secret for the store that the
    files are put into, at `prefix` under the secret's own; `registry` that of the image's registry.
    """

    image: str
    object_store: str
    prefix: str = ""
    registry: str = "docker-registry"
    executable_id: str = "embedway-infinity"
    resource_plan: str = "infer.s"
    min_replicas: int = 1
    max_replicas: int = 1
    port: int = 9000
    batch_size: int = 32
    dtype: Dtype = "float32"


def plan_infinity(order: NamedModel, place: AICorePlace, *, infinity: Infinity) -> Plan:
    """
    Writes template, image and model folder on this machine, and says what would be made of them.

    Nothing of it touches the cloud. Raises `Refused` with what is wrong with the input.
    """
    if re.search(r"[:@][\w.-]+$", infinity.image.rpartition("/")[2]) is None:
        raise Refused([f"{infinity.image} names no version; write :<tag>, for `latest` changes"])
    if not 1 <= infinity.min_replicas <= infinity.max_replicas:
        raise Refused(["replicas: at least one must run, and no fewer at most than at least"])
    checkpoint = read_model(order)
    name, home = plan_name(order, "infinity"), deploy_home(order)
    source = prepare(checkpoint, home / name / "model")
    try:
        version, written = _written(home / name / "aicore", place, infinity)
        template = Executable(
            executable_id=infinity.executable_id,
            version=version,
            source=written,
            parameters=tuple(_values(infinity, order)),
            artifact=ARTIFACT,
        )
        steps = (template, *_steps(order, infinity, checkpoint, source=source))
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False)
        ]
        raise Refused(problems) from None
    artifact = next(step for step in steps if isinstance(step, Artifact))
    return Plan(
        name=name,
        engine="infinity",
        model=order.called,
        dimensions=checkpoint.hidden,
        place=place,
        steps=steps,
        costs=_costs(infinity, source),
        notes=_notes(infinity, source, written, artifact),
    )


def _costs(infinity: Infinity, source: Files) -> tuple[str, ...]:
    return (
        (
            f"{infinity.min_replicas} to {infinity.max_replicas} × resource plan "
            f"{infinity.resource_plan}, by the hour while it runs, whether it is called or not"
        ),
        f"{source.bytes / 1e9:.2f} GB in your object store, by the month",
    )


def _notes(
    infinity: Infinity, source: Files, written: Files, artifact: Artifact
) -> tuple[str, ...]:
    """What is done by hand, because the AI API does not do it."""
    return (
        (
            f"build and push the image: docker build -t {infinity.image} {written.folder} && "
            f"docker push {infinity.image}"
        ),
        f"commit {written.folder}/serving-template.yaml to the repository that AI Core reads",
        (
            f"put the files of {source.folder} to {artifact.url.removeprefix('ai://')} (secret "
            f"{infinity.object_store}), as by `aws s3 cp --recursive`: AI Core cannot be asked "
            "whether they are there, and takes no file above 100 MB itself"
        ),
        *about(DTYPES[infinity.dtype]),
    )


def _steps(
    order: NamedModel, infinity: Infinity, checkpoint: Checkpoint, *, source: Files
) -> list[Step]:
    values = _values(infinity, order) | {
        "pooling": _POOLINGS[checkpoint.pooling],
        "embedwayRevision": revision_of(order, checkpoint, form=DTYPES[infinity.dtype]),
    }
    prefix = infinity.prefix.strip("/")
    path = f"{prefix}/" if prefix else ""
    path += f"embedway/{plan_name(order, 'infinity')}/{source.digest[:12]}"
    return [
        Artifact(
            display_name=plan_name(order, "infinity"),
            description=f"{order.called}: safetensors and pipeline, by Embedway",
            url=f"ai://{infinity.object_store}/{path}",
            source=source,
        ),
        Configuration(parameters=values),
        Serving(),
        Check(
            engine="infinity",
            model=order.model,
            dimensions=checkpoint.hidden,
            max_tokens=checkpoint.max_tokens,
            precision=DTYPES[infinity.dtype],
            agreement=0.999 if infinity.dtype == "float32" else 0.99,
        ),
    ]


def _values(infinity: Infinity, order: NamedModel) -> dict[str, str]:
    stated = {
        "minReplicas": str(infinity.min_replicas),
        "maxReplicas": str(infinity.max_replicas),
        "portNumber": str(infinity.port),
        "batchSize": str(infinity.batch_size),
        "dtype": infinity.dtype,
    }
    own = defaults(image=infinity.image, model=order.called, plan=infinity.resource_plan)
    return {**own, **stated}


def _written(folder: Path, place: AICorePlace, infinity: Infinity) -> tuple[str, Files]:
    """Template, Dockerfile and entry script; and a digest of them, which the template names."""
    ours = files("embedway_deploy.infinity")
    parts = {name: (ours / name).read_text("utf-8") for name in ("Dockerfile", "run.sh")}
    facts = {
        "executable": infinity.executable_id,
        "scenario": place.scenario_id,
        "secret": infinity.registry,
        # The same template for every model: what differs is the configuration's.
        "values": defaults(image=infinity.image, model="", plan=infinity.resource_plan),
    }
    blank = template_text(**facts, digest="")  # type: ignore[arg-type]
    whole = "\0".join([*parts.values(), blank])
    digest = hashlib.sha256(whole.encode()).hexdigest()[:12]
    parts["serving-template.yaml"] = template_text(**facts, digest=digest)  # type: ignore[arg-type]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in parts.items():
        (folder / name).write_text(content, "utf-8")
    (folder / "run.sh").chmod(0o755)
    return digest, list_files(folder, [folder / name for name in parts])
