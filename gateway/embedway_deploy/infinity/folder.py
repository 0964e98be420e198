"""Makes the folder that infinity loads: the model's files, with its whole pipeline stated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_deploy.error import Refused
from embedway_deploy.file import Files, list_files
from embedway_deploy.tei.folder import prepare as prepare_files

if TYPE_CHECKING:
    from embedway_local.checkpoint import Checkpoint

__all__ = ["prepare"]

_MODULES = (
    ("0", "", "Transformer"),
    ("1", "1_Pooling", "Pooling"),
    ("2", "2_Normalize", "Normalize"),
)
_MODES = {"cls": "cls_token", "mean": "mean_tokens", "last": "lasttoken"}


def prepare(checkpoint: Checkpoint, target: Path) -> Files:
    """
    The folder, made anew. Raises `Refused` where there are no weights that infinity reads, or
    where it would run code of the model's.

    Without `modules.json` sentence-transformers pools the mean of as many tokens as there are
    positions, whatever the model was trained with.
    """
    if "auto_map" in checkpoint.config.values:
        raise Refused(
            [
                (
                    f"{checkpoint.folder} names code of its own in config.json (auto_map), which "
                    "infinity would have to run; this is not deployed"
                )
            ]
        )
    prepare_files(checkpoint, target)
    modules = [
        {"idx": int(number), "name": number, "path": path, "type": f"{_PACKAGE}.{kind}"}
        for number, path, kind in _MODULES
    ]
    modes = {f"pooling_mode_{mode}": key == checkpoint.pooling for key, mode in _MODES.items()}
    pooling = {"word_embedding_dimension": checkpoint.hidden, **modes, "include_prompt": True}
    _write(target / "modules.json", modules)
    (target / "1_Pooling").mkdir(exist_ok=True)
    _write(target / "1_Pooling" / "config.json", pooling)
    if not (target / "tokenizer_config.json").is_file():
        _write(target / "tokenizer_config.json", _tokenizer(checkpoint))
    return list_files(target)


_PACKAGE = "sentence_transformers.models"


def _tokenizer(checkpoint: Checkpoint) -> dict[str, object]:
    """A class that takes tokenizer.json as it is: BERT's own would lower-case what it does not."""
    content = json.loads(checkpoint.tokenizer.read_text("utf-8"))
    names = {one["id"]: one["content"] for one in content.get("added_tokens", [])}
    vocabulary = content.get("model", {}).get("vocab", {})
    if checkpoint.pad not in names and isinstance(vocabulary, dict):
        names |= {number: token for token, number in vocabulary.items()}
    if checkpoint.pad not in names:
        raise Refused([f"{checkpoint.tokenizer} has no token {checkpoint.pad} to pad with"])
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": checkpoint.max_tokens,
        "pad_token": names[checkpoint.pad],
    }


def _write(path: Path, content: object) -> None:
    # Not written into: it may be a link to the store's own file.
    path.unlink(missing_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
