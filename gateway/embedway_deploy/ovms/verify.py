"""Embeds with a prepared repository of OpenVINO Model Server, and compares its vectors."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from embedway_deploy.error import DeployError, WrongVectors
from embedway_deploy.kind.check import cosines
from embedway_deploy.kind.text import texts
from embedway_deploy.ovms.interpreter import answered
from embedway_deploy.reference import embed_locally

__all__ = ["Compared", "verify_ovms"]


@dataclass(frozen=True, slots=True)
class Compared:
    """How many texts were compared, the worst cosine, and the largest difference of a number."""

    texts: int
    worst: float
    difference: float


def verify_ovms(
    folder: Path,
    model: str,
    *,
    max_tokens: int,
    agreement: float,
    tolerance: float | None = None,
    python: str = sys.executable,
) -> Compared:
    """
    What `config.json` and `graph.pbtxt` name is run with OpenVINO, and pooled as the graph says.

    Raises `WrongVectors` where a cosine is below `agreement`, or two numbers of unit vectors differ
    by more than `tolerance`; `DeployError` where the folder cannot be run.
    """
    graph, pooling = _read(folder)
    # Without a limit in the tokenizer a long text is refused by the server, which is not run here.
    asked = texts(max_tokens if _is_cut(graph) else None)
    flat = graph / "openvino_model.xml"
    old = graph / "embeddings" / "1" / "model.xml"
    order = {
        "model": str(flat if flat.is_file() else old),
        "tokens": str(
            graph / "openvino_tokenizer.xml" if flat.is_file() else graph / "tokenizer/1/model.xml"
        ),
        "pooling": pooling,
        "texts": list(asked),
    }
    answer = answered("embed", order, python)
    found = np.array(answer["vectors"], np.float32)
    wanted = embed_locally(model, asked, max_tokens=max_tokens)
    worst = float(cosines(found, wanted).min())
    difference = float(np.abs(found - wanted).max())
    # So written, a vector of NaN is wrong as well: nothing is less than it, and nothing is more.
    if not worst >= agreement or (tolerance is not None and not difference <= tolerance):
        raise WrongVectors(
            f"{folder} gives other vectors than the local runtime: the worst cosine is {worst:.5f} "
            f"({agreement} is needed), the largest difference {difference:.1e}"
            + ("" if tolerance is None else f" ({tolerance:.0e} is allowed)")
        )
    return Compared(len(asked), worst, difference)


def _read(folder: Path) -> tuple[Path, str]:
    """The graph's folder, and its pooling; what a version without the field does is CLS."""
    try:
        listed = json.loads((folder / "config.json").read_text("utf-8"))
        graph = folder / listed["mediapipe_config_list"][0]["base_path"]
        text = (graph / "graph.pbtxt").read_text("utf-8")
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DeployError(f"{folder} is no repository of models: {error}") from None
    match = re.search(r"\bpooling:\s*(\w+)", text)
    return graph, match[1] if match else "CLS"


def _is_cut(graph: Path) -> bool:
    return "truncate: false" not in (graph / "graph.pbtxt").read_text("utf-8")
