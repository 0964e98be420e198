"""Makes the folder that TEI loads: the model's own files, and what they leave unsaid."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_deploy.error import Refused
from embedway_deploy.file import Files, list_files

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["prepare"]

# Weights in a form that TEI does not read or that may run code, and what is not the model's.
_UNWANTED = re.compile(
    r"(^|/)(\.|pytorch_model|.*\.(bin|h5|msgpack|ot|gguf|tflite|pt|pth|ckpt)$|(onnx|openvino)/)"
    r"|^embedway\.json$"
)
_LENGTH = "sentence_bert_config.json"


def prepare(checkpoint: Checkpoint, target: Path) -> Files:
    """
    The folder, made anew. Raises `Refused` where there are no weights that TEI reads.

    The longest text is written where it is not stated, and where it was asked for: TEI would read
    as many tokens as there are positions, of all-MiniLM-L6-v2 512 instead of 256.
    """
    from embedway_local.file import alone, aside

    folder = checkpoint.folder
    if not any(folder.glob("*.safetensors")):
        raise Refused(
            [f"{folder} has no model.safetensors, which TEI reads on CUDA and on the processor"]
        )
    with alone(target), aside(target) as made:
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            if path.is_file() and not _UNWANTED.search(name):
                _put(path, made / name)
        stated = made / _LENGTH
        settings = json.loads(stated.read_text("utf-8")) if stated.is_file() else {}
        if settings.get("max_seq_length") != checkpoint.max_tokens:
            # Not written into: it may be a link to the store's own file.
            stated.unlink(missing_ok=True)
            settings = {"do_lower_case": checkpoint.lowercase, **settings}
            settings["max_seq_length"] = checkpoint.max_tokens
            stated.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")
    return list_files(target)


def _put(source: Path, target: Path) -> None:
    """A link where that is possible: models have gigabytes."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:
        shutil.copy(source, target)
