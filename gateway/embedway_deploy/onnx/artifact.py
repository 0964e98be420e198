"""Makes the folder that OCI's conda runtime runs: graph, tokenizer, score.py and runtime.yaml."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from embedway_deploy.error import Refused
from embedway_deploy.file import Files, list_files

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["Conda", "prepare"]

_GRAPH = "model.onnx"


@dataclass(frozen=True, slots=True)
class Conda:
    """A published conda environment: its `oci://` path, and the Python in it."""

    path: str
    python: str = "3.11"

    @property
    def slug(self) -> str:
        """The last part of the path."""
        return self.path.rstrip("/").rpartition("/")[2]

    @property
    def bucket(self) -> str | None:
        """The bucket that a deployment reads it from; None where that is Oracle's, open to all."""
        if _pack_type(self.path) == "data_science":
            return None
        return self.path.removeprefix("oci://").partition("/")[0].partition("@")[0]


def prepare(
    checkpoint: Checkpoint,
    target: Path,
    *,
    name: str,
    conda: Conda,
    home: Path,
    matryoshka: tuple[int, ...] = (),
    graph: Path | None = None,
) -> Files:
    """
    The folder, made anew; the same model makes the same bytes. `graph` is an export of the user's,
    taken as it is; else it is the local runtime's. Raises `Refused` for an unknown conda
    environment or a graph whose parts are missing, and the errors of the builder.
    """
    from embedway_local.file import alone, aside

    if not conda.path.startswith("oci://"):
        raise Refused(
            [
                (
                    f"{conda.path!r} is no path of a conda environment: give the one that the "
                    "Environment Explorer shows, oci://<bucket>@<namespace>/…/<slug>"
                )
            ]
        )
    sources = _graph_files(checkpoint, home, graph)
    with alone(target), aside(target) as folder:
        for source, path in sources.items():
            shutil.copy(source, folder / path)
        shutil.copy(checkpoint.tokenizer, folder / "tokenizer.json")
        ours = files("embedway_deploy.onnx")
        for part in ("score.py", "request-schema.json"):
            (folder / part).write_bytes((ours / part).read_bytes())
        settings = {
            "model": name,
            "graph": _GRAPH,
            "dimensions": checkpoint.hidden,
            "matryoshka": list(matryoshka),
            "max_tokens": checkpoint.max_tokens,
            "pooling": checkpoint.pooling,
            "lowercase": checkpoint.lowercase,
            "pad": checkpoint.pad,
        }
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        (folder / "embedway.json").write_text(f"{text}\n", "utf-8")
        (folder / "runtime.yaml").write_text(_runtime(conda), "utf-8")
    return list_files(target)


def _graph_files(checkpoint: Checkpoint, home: Path, graph: Path | None) -> dict[Path, str]:
    """Where each file of the graph is, and what it is called in the folder."""
    from embedway_local import LocalError
    from embedway_local.graph.cache import built
    from embedway_local.graph.outside import outside_files

    try:
        if graph is not None:
            if not graph.is_file():
                raise Refused([f"{graph} is no file; give the path of an ONNX export"])
            # A graph that positions cannot be given to, or without a mask, is refused by the
            # builder, which is asked for that alone: the user's file is what is deployed.
            built(replace(checkpoint, onnx=graph, weights=()), home)
        path = graph or built(checkpoint, home)
        beside = outside_files(path)
    except LocalError as error:
        raise Refused([str(error)]) from error
    return {path: _GRAPH, **{file: file.name for file in beside}}


def _runtime(conda: Conda) -> str:
    """In the form that ADS reads (`ads.model.runtime`), with nothing that changes by itself."""
    content = {
        "MODEL_ARTIFACT_VERSION": "3.0",
        "MODEL_DEPLOYMENT": {
            "INFERENCE_CONDA_ENV": {
                "INFERENCE_ENV_PATH": conda.path,
                "INFERENCE_ENV_SLUG": conda.slug,
                "INFERENCE_ENV_TYPE": _pack_type(conda.path),
                "INFERENCE_PYTHON_VERSION": conda.python,
            }
        },
        "MODEL_PROVENANCE": {
            "PROJECT_OCID": "",
            "TENANCY_OCID": "",
            "TRAINING_CODE": {"ARTIFACT_DIRECTORY": ""},
            "TRAINING_COMPARTMENT_OCID": "",
            "TRAINING_CONDA_ENV": {
                "TRAINING_ENV_PATH": "",
                "TRAINING_ENV_SLUG": "",
                "TRAINING_ENV_TYPE": "",
                "TRAINING_PYTHON_VERSION": "",
            },
            "TRAINING_REGION": "",
            "TRAINING_RESOURCE_OCID": "",
            "USER_OCID": "",
            "VM_IMAGE_INTERNAL_ID": "",
        },
    }
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text


def _pack_type(path: str) -> str:
    return "data_science" if "/service_pack/" in path else "published"
