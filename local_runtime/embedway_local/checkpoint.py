"""What a model's folder says: its files, pooling, maximum length, prompts and size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from embedway_local.error import ModelCorrupt, ModelNotFound, ModelUnsupported
from embedway_local.pooling import Pooling
from embedway_local.setting import Settings, read_list, read_settings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Checkpoint", "read_checkpoint"]

# A model's ONNX export, in the places where the hub keeps it.
_ONNX = ("onnx/model.onnx", "model.onnx")
# Modules of a sentence-transformers pipeline whose work the graph does.
_MODULES = {"Transformer", "Pooling", "Normalize"}
_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model on disk, read and found whole, but not loaded."""

    folder: Path
    config: Settings
    hidden: int
    max_tokens: int
    pooling: Pooling
    lowercase: bool
    prompts: dict[str, str]
    tokenizer: Path
    weights: tuple[Path, ...]
    onnx: Path | None

    @property
    def graph_files(self) -> tuple[Path, ...]:
        """The files that the graph is made from."""
        return self.weights if self.onnx is None else (self.onnx, *_external(self.onnx))


def read_checkpoint(
    folder: Path, *, pooling: Pooling | None = None, max_tokens: int | None = None
) -> Checkpoint:
    """
    Read a folder in the layout of the Hugging Face hub.

    `pooling` and `max_tokens` replace what the folder says. Raises `ModelNotFound` when a file
    is missing, `ModelCorrupt` when one is damaged, `ModelUnsupported` when the result could
    differ from what the model's authors meant.
    """
    if not (folder / "config.json").is_file():
        raise ModelNotFound(f"{folder}: no config.json; not the folder of a model")
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise ModelNotFound(
            f"{folder}: no tokenizer.json; save the model's fast tokenizer there "
            "(transformers: AutoTokenizer.from_pretrained(…).save_pretrained(…))"
        )
    config = read_settings(folder / "config.json")
    sentence = read_settings(folder / "sentence_bert_config.json")
    onnx = next((path for name in _ONNX if (path := folder / name).is_file()), None)
    return Checkpoint(
        folder=folder,
        config=config,
        hidden=config.number("hidden_size"),
        max_tokens=max_tokens or _max_tokens(folder, config, sentence),
        pooling=pooling or _pooling(folder),
        lowercase=sentence.flag("do_lower_case"),
        prompts=read_settings(folder / "config_sentence_transformers.json").texts("prompts"),
        tokenizer=tokenizer,
        weights=() if onnx else _weights(folder),
        onnx=onnx,
    )


def _pooling(folder: Path) -> Pooling:
    modules = read_list(folder / "modules.json")
    for module in modules:
        kind = module.text("type").rpartition(".")[2]
        if kind not in _MODULES:
            raise ModelUnsupported(
                f"{folder}: its pipeline has a {kind} module, which this runtime does not run"
            )
    place = next((m.text("path") for m in modules if m.text("type").endswith("Pooling")), None)
    settings = read_settings(folder / (place or "1_Pooling") / "config.json")
    modes = [mode for key, mode in _POOLING.items() if settings.flag(key)]
    if not modes:
        raise ModelUnsupported(
            f"{folder}: nothing says how its token vectors are pooled "
            '(no 1_Pooling/config.json); pass pooling="mean", "cls" or "last"'
        )
    for known in get_args(Pooling):
        if modes == [known]:
            return known  # type: ignore[no-any-return]
    raise ModelUnsupported(f"{folder}: pooling {' + '.join(modes)} is not supported")


def _max_tokens(folder: Path, config: Settings, sentence: Settings) -> int:
    """The smallest maximum that any file states: the card's, the tokenizer's, the positions'."""
    tokenizer = read_settings(folder / "tokenizer_config.json")
    stated = [
        values.number(key)
        for values, key in (
            (sentence, "max_seq_length"),
            (tokenizer, "model_max_length"),
            (config, "max_position_embeddings"),
        )
        if isinstance(values.values.get(key), int)
    ]
    if not stated:
        raise ModelUnsupported(f"{folder}: nothing says the maximum length; pass max_tokens=")
    return min(stated)


def _weights(folder: Path) -> tuple[Path, ...]:
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    index = folder / "model.safetensors.index.json"
    names = sorted(set(read_settings(index).texts("weight_map").values()))
    if not names:
        raise ModelNotFound(
            f"{folder}: neither model.safetensors nor onnx/model.onnx "
            "(pickled weights, pytorch_model.bin, are never read)"
        )
    paths = tuple(folder / name for name in names)
    for path in paths:
        if path.parent != folder or not path.is_file():
            raise ModelCorrupt(f"{index}: names {path.name}, which is not beside it")
    return paths


def _external(onnx: Path) -> list[Path]:
    """Files beside an ONNX model that hold its larger tensors."""
    return sorted(
        path for path in onnx.parent.iterdir() if path.name.startswith(f"{onnx.name}_") or
        path.name == f"{onnx.name}.data"
    )
