"""Embedding and reranking in this process, on ONNX Runtime: offline, exact, on CUDA or not."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_local.agreement import Agreement
    from embedway_local.catalogue import DEFAULT_MODEL, KnownModel, known, known_models
    from embedway_local.embedder import LocalEmbedder, LocalEmbedding
    from embedway_local.error import (
        DeviceUnavailable,
        LocalError,
        ModelCorrupt,
        ModelNotFound,
        ModelUnsupported,
    )
    from embedway_local.gpu.use import CardUse
    from embedway_local.home import embedway_home
    from embedway_local.pooling import Pooling
    from embedway_local.precision import Precision, PrecisionChoice
    from embedway_local.prompt import InputType
    from embedway_local.provider import Device
    from embedway_local.reduced import measured_agreements
    from embedway_local.reranker import LocalRanking, LocalReranker
    from embedway_local.source.find import pull
    from embedway_local.space import VectorSpace
    from embedway_local.store import Manifest, Store

__all__ = [
    "DEFAULT_MODEL",
    "Agreement",
    "CardUse",
    "Device",
    "DeviceUnavailable",
    "InputType",
    "KnownModel",
    "LocalEmbedder",
    "LocalEmbedding",
    "LocalError",
    "LocalRanking",
    "LocalReranker",
    "Manifest",
    "ModelCorrupt",
    "ModelNotFound",
    "ModelUnsupported",
    "Pooling",
    "Precision",
    "PrecisionChoice",
    "Store",
    "VectorSpace",
    "embedway_home",
    "known",
    "known_models",
    "measured_agreements",
    "pull",
]

# Where each name is, so that it is imported when it is used: a gateway that only asks the
# catalogue needs neither numpy nor a tokenizer, and may not have them.
_PLACES = {
    "Agreement": "agreement",
    "CardUse": "gpu.use",
    "DEFAULT_MODEL": "catalogue",
    "Device": "provider",
    "DeviceUnavailable": "error",
    "InputType": "prompt",
    "KnownModel": "catalogue",
    "LocalEmbedder": "embedder",
    "LocalEmbedding": "embedder",
    "LocalError": "error",
    "LocalRanking": "reranker",
    "LocalReranker": "reranker",
    "Manifest": "store",
    "ModelCorrupt": "error",
    "ModelNotFound": "error",
    "ModelUnsupported": "error",
    "Pooling": "pooling",
    "Precision": "precision",
    "PrecisionChoice": "precision",
    "Store": "store",
    "VectorSpace": "space",
    "embedway_home": "home",
    "known": "catalogue",
    "known_models": "catalogue",
    "measured_agreements": "reduced",
    "pull": "source.find",
}

# Hidden from type checkers, to which it would lend every name that there is not.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
