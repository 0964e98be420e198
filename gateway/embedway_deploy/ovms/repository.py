"""Makes the folder that OpenVINO Model Server loads: IR, tokenizer, graph and configuration."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_deploy.error import Refused
from embedway_deploy.file import Files, list_files
from embedway_deploy.ovms.interpreter import answered
from embedway_deploy.ovms.text import graph, old_graph, repository, subconfig
from embedway_deploy.ovms.version import Version

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["Layout", "WeightFormat", "prepare"]

WeightFormat: TypeAlias = Literal["fp32", "fp16", "int8", "int4"]
# Raise it when `program.py` would make something else of the same model.
_EXPORT = 1
_KEPT = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What decides the folder besides the model. `truncate`: long texts are cut, not refused."""

    version: Version
    weights: WeightFormat
    truncate: bool
    python: str


def prepare(
    checkpoint: Checkpoint, target: Path, *, name: str, layout: Layout, home: Path
) -> Files:
    """
    The folder, made anew; the conversion is kept under `home` and done once.

    Raises `Refused` where the version would pool wrongly or OpenVINO is not there, `DeployError`
    where it does not convert the model.
    """
    from embedway_local.file import alone, aside

    pooling = layout.version.pooling(checkpoint.pooling)
    if not layout.truncate and layout.version < Version(2025, 3):
        raise Refused(
            [
                (
                    f"OpenVINO Model Server {layout.version} cannot be told this model's longest "
                    f"text, {checkpoint.max_tokens} tokens, so it would read too much of a text; "
                    "leave --no-truncate out"
                )
            ]
        )
    converted = _converted(checkpoint, layout, home)
    exact = layout.weights == "fp32"
    with alone(target), aside(target) as made:
        folder = made / name
        folder.mkdir(parents=True)
        (made / "config.json").write_text(repository(name), "utf-8")
        if layout.version.flat:
            _put(converted, folder, model="openvino_model", tokens="openvino_tokenizer")
            cuts = layout.truncate if layout.version.cuts else None
            text = graph(pooling=pooling, truncate=cuts, exact=exact)
            for part in _KEPT:
                if (source := checkpoint.folder / part).is_file():
                    shutil.copy(source, folder / part)
            (folder / "config.json").write_text(_config(checkpoint), "utf-8")
        else:
            for part in ("embeddings", "tokenizer"):
                (folder / part / "1").mkdir(parents=True)
            _put(converted, folder, model="embeddings/1/model", tokens="tokenizer/1/model")
            text = old_graph(name)
            (folder / "subconfig.json").write_text(subconfig(name, exact=exact), "utf-8")
        (folder / "graph.pbtxt").write_text(text, "utf-8")
    return list_files(target)


def _config(checkpoint: Checkpoint) -> str:
    """The model's own, with its longest text: the server reads that from the positions."""
    stated = json.loads((checkpoint.folder / "config.json").read_text("utf-8"))
    content = {**stated, "max_position_embeddings": checkpoint.max_tokens}
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _put(converted: Path, folder: Path, *, model: str, tokens: str) -> None:
    for source, name in (("model", model), ("tokens", tokens)):
        for suffix in (".xml", ".bin"):
            shutil.copy(converted / f"{source}{suffix}", folder / f"{name}{suffix}")


def _converted(checkpoint: Checkpoint, layout: Layout, home: Path) -> Path:
    """The folder of the IR, made now if it is not there yet."""
    from embedway_local import LocalError
    from embedway_local.file import alone, aside

    try:
        folder = home / "openvino" / _key(checkpoint, layout, home)
        with alone(folder):
            if (folder / "model.xml").is_file():
                return folder
            with aside(folder) as made:
                _convert(checkpoint, layout, made)
    except LocalError as error:
        raise Refused([str(error)]) from error
    return folder


def _key(checkpoint: Checkpoint, layout: Layout, home: Path) -> str:
    """Stands for all that the IR is made of."""
    from embedway_local.file import digest
    from embedway_local.graph.cache import VERSION, weights_digest

    facts = {
        "export": _EXPORT,
        "builder": VERSION,
        "weights": weights_digest(checkpoint, home),
        "config": digest(checkpoint.folder / "config.json"),
        "tokenizer": digest(checkpoint.tokenizer),
        "format": layout.weights,
        "most": checkpoint.max_tokens if layout.truncate else None,
        "pad": checkpoint.pad,
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _convert(checkpoint: Checkpoint, layout: Layout, made: Path) -> None:
    """Write the IR of graph and tokenizer into a folder."""
    from embedway_local.graph.build import build_tokens
    from embedway_local.graph.build import save as saved

    source = checkpoint.onnx
    if source is None:
        source = made / "onnx" / "model.onnx"
        source.parent.mkdir()
        saved(build_tokens(checkpoint), source)
    order = {
        "graph": str(source),
        "tokenizer": str(checkpoint.tokenizer),
        "pad": checkpoint.pad,
        "format": layout.weights,
        "max_tokens": checkpoint.max_tokens if layout.truncate else None,
        "model": str(made / "model.xml"),
        "tokens": str(made / "tokens.xml"),
    }
    answer = answered("convert", order, layout.python)
    shutil.rmtree(made / "onnx", ignore_errors=True)
    (made / "versions.json").write_text(json.dumps(answer), "utf-8")
