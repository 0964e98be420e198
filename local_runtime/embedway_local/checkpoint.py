"""What a model's folder says: its files, pooling, maximum length, prompts and size."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from embedway_local.custom import custom_class
from embedway_local.error import ModelCorrupt, ModelNotFound, ModelUnsupported
from embedway_local.graph.outside import outside_files
from embedway_local.pooling import Pooling
from embedway_local.prompt import read_prompts
from embedway_local.sentence import read_sentence
from embedway_local.setting import Settings, read_list, read_settings
from embedway_local.tokenizer_config import TokenizerConfig, read_tokenizer_config

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["SHIFTED", "Checkpoint", "read_checkpoint"]

# A model's ONNX export, in the places where the hub keeps it.
_ONNX = ("onnx/model.onnx", "model.onnx")
# What protobuf can read; of itself it refuses more only after it was read into memory.
_MAX_GRAPH_BYTES = 2**31 - 1
# Modules of a sentence-transformers pipeline whose work the graph does, and where they live: a
# class of the same name from anywhere else is code that comes with the model.
_PACKAGE = "sentence_transformers"
_MODULES = {"Transformer", "Pooling", "Normalize"}
# sentence-transformers 5 writes one `pooling_mode`; before, there was a flag for each.
_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
# Their positions begin behind that of the padding token.
SHIFTED = {"camembert", "mpnet", "roberta", "xlm-roberta"}


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
    repooled: bool = False
    """Was another pooling asked for than the folder states?"""
    tokenizer_config: TokenizerConfig = field(default_factory=TokenizerConfig)

    @property
    def graph_files(self) -> tuple[Path, ...]:
        """The files that the graph is made from."""
        return self.weights if self.onnx is None else (self.onnx, *outside_files(self.onnx))

    @property
    def heads(self) -> int:
        """Heads of attention, or as many as there usually are in its size."""
        name = _named(self.config, "num_attention_heads", "n_head", "n_heads")
        value = self.config.values.get(name)
        usual = max(1, self.hidden // 64)
        return value if isinstance(value, int) and 0 < value <= self.hidden else usual

    @property
    def pad(self) -> int:
        """The token that fills up a batch."""
        value = self.config.values.get("pad_token_id")
        return value if isinstance(value, int) and 0 <= value < 2**31 else 0


def read_checkpoint(
    folder: Path,
    *,
    pooling: Pooling | None = None,
    max_tokens: int | None = None,
    buildable: Collection[str] = (),
) -> Checkpoint:
    """
    Read a folder in the layout of the Hugging Face hub.

    `pooling` and `max_tokens` replace what the folder says. An ONNX export is taken rather than
    weights, except for the architectures in `buildable`, where they are run without code of their
    authors'. Raises `ModelNotFound` when a file is missing, `ModelCorrupt` when one is damaged,
    `ModelUnsupported` when the result could differ from what the model's authors meant.
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
    config.text("model_type", default="")  # what follows asks for it by value
    sentence = read_sentence(folder)
    settings = read_settings(folder / "tokenizer_config.json")
    prompts = read_prompts(read_settings(folder / "config_sentence_transformers.json"))
    modules = _modules(folder)
    pooled, repooled = _pooling(folder, modules, pooling)
    weights, onnx = _graph(folder, config, buildable)
    return Checkpoint(
        folder=folder,
        config=config,
        hidden=config.number(_named(config, "hidden_size", "n_embd", "dim")),
        max_tokens=_max_tokens(folder, config, (sentence, settings), max_tokens),
        pooling=pooled,
        lowercase=sentence.flag("do_lower_case"),
        prompts=prompts,
        tokenizer=tokenizer,
        weights=weights,
        onnx=onnx,
        repooled=repooled,
        tokenizer_config=read_tokenizer_config(settings, config),
    )


def _graph(
    folder: Path, config: Settings, buildable: Collection[str]
) -> tuple[tuple[Path, ...], Path | None]:
    """What the graph is made from: weights, or an export; the other is empty."""
    weights, custom = _weights(folder), custom_class(config)
    built = config.values.get("model_type") in buildable and custom is None
    onnx = next((path for name in _ONNX if (path := folder / name).is_file()), None)
    if onnx is not None and not (built and weights):
        if onnx.stat().st_size > _MAX_GRAPH_BYTES:
            raise ModelCorrupt(
                f"{onnx}: larger than {_MAX_GRAPH_BYTES} bytes, which no ONNX file can be; "
                f"export its tensors into {onnx.name}_data"
            )
        return (), onnx
    if not weights:
        raise ModelNotFound(
            f"{folder}: neither model.safetensors nor onnx/model.onnx "
            "(pickled weights, pytorch_model.bin, are never read)"
        )
    if custom is not None:
        raise ModelUnsupported(
            f"{folder}: its config.json (auto_map) has it run by code of its own, {custom!r}, that "
            f"is never run and may compute other than a {config.values.get('model_type')!r} does; "
            "give a folder that has its ONNX export, onnx/model.onnx"
        )
    return weights, None


def _modules(folder: Path) -> list[Settings]:
    """The steps of the model's sentence-transformers pipeline, all of which we run."""
    modules = read_list(folder / "modules.json")
    for module in modules:
        kind = module.text("type")
        name = kind.rpartition(".")[2]
        if not kind.startswith(f"{_PACKAGE}."):
            raise ModelUnsupported(
                f"{folder}: its pipeline (modules.json) has a module of its own, {kind[:200]!r}, "
                f"and code that comes with a model is never run; only {_PACKAGE}' own modules are"
            )
        if name not in _MODULES:
            raise ModelUnsupported(
                f"{folder}: its pipeline has a {name} module, which this runtime does not run"
            )
    return modules


def _pooling(folder: Path, modules: list[Settings], asked: Pooling | None) -> tuple[Pooling, bool]:
    """The pooling that was asked for, else what the folder states; and whether they differ."""
    place = next((m.text("path") for m in modules if m.text("type").endswith("Pooling")), None)
    if place is not None and (".." in place or Path(place).parts not in {(), (Path(place).name,)}):
        raise ModelCorrupt(f"{folder}: its modules.json names {place!r}, which is not in it")
    settings = read_settings(folder / (place or "1_Pooling") / "config.json")
    # Also where its files declare no prompt: one may come from the caller or the catalogue.
    if not settings.flag("include_prompt", default=True):
        raise ModelUnsupported(f"{folder}: pooling that leaves out the prompt is not supported")
    modes = [mode.removesuffix("token") for mode in settings.names("pooling_mode")]
    modes = modes or [mode for key, mode in _POOLING.items() if settings.flag(key)]
    if asked is not None:
        return asked, modes != [asked]
    if not modes:
        raise ModelUnsupported(
            f"{folder}: nothing says how its token vectors are pooled "
            '(no 1_Pooling/config.json); pass pooling="mean", "cls" or "last"'
        )
    for known in get_args(Pooling):
        if modes == [known]:
            return known, False
    raise ModelUnsupported(f"{folder}: pooling {' + '.join(modes)} is not supported")


def _max_tokens(
    folder: Path, config: Settings, settings: tuple[Settings, Settings], asked: int | None
) -> int:
    """
    The maximum that was asked for, else what the card says, else what its tokenizer says.

    It is never more than there are positions.
    """
    # NomicBERT's settings say both, and the first is what holds.
    positions = _stated(config, _named(config, "n_positions", "max_position_embeddings"))
    if positions is not None and config.values.get("model_type") in SHIFTED:
        positions -= config.number("pad_token_id", default=1) + 1
    if asked is not None:
        if asked < 1 or (positions is not None and asked > positions):
            raise ValueError(f"max_tokens={asked}: the model has {positions} positions")
        return asked
    sentence, tokenizer = settings
    length = _stated(sentence, "max_seq_length") or _stated(tokenizer, "model_max_length")
    stated = [value for value in (length, positions) if value is not None]
    if not stated:
        raise ModelUnsupported(f"{folder}: nothing says the maximum length; pass max_tokens=")
    return min(stated)


def _named(config: Settings, *names: str) -> str:
    """The first of the names that the settings use; architectures differ."""
    return next((name for name in names if name in config.values), names[0])


def _stated(settings: Settings, key: str) -> int | None:
    """A length, or None when it is absent; files also say null, -1 or 1e30 for that."""
    value = settings.values.get(key)
    if value is None or value == -1 or isinstance(value, float):
        return None
    number = settings.number(key)
    return number if number < 2**31 else None


def _weights(folder: Path) -> tuple[Path, ...]:
    """The folder's safetensors files; none when it has only other weights."""
    single = folder / "model.safetensors"
    if single.is_file():
        return (single,)
    index = folder / "model.safetensors.index.json"
    names = sorted(set(read_settings(index).texts("weight_map").values()))
    paths = tuple(folder / name for name in names)
    for name, path in zip(names, paths, strict=True):
        # Listed, not asked for: a name from outside may be no name of a file at all.
        if name not in os.listdir(folder) or not path.is_file():  # noqa: PTH208 - names
            raise ModelCorrupt(f"{index}: names {name[:99]!r}, which is not beside it")
    return paths
