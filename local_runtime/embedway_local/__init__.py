"""Text embeddings in this process, on ONNX Runtime: offline, exact, on CUDA or the processor."""

from embedway_local.catalogue import DEFAULT_MODEL
from embedway_local.embedder import InputType, LocalEmbedder, LocalEmbedding
from embedway_local.error import (
    DeviceUnavailable,
    LocalError,
    ModelCorrupt,
    ModelNotFound,
    ModelUnsupported,
)
from embedway_local.home import embedway_home
from embedway_local.pooling import Pooling
from embedway_local.provider import Device
from embedway_local.source.find import pull
from embedway_local.space import VectorSpace
from embedway_local.store import Manifest, Store

__all__ = [
    "DEFAULT_MODEL",
    "Device",
    "DeviceUnavailable",
    "InputType",
    "LocalEmbedder",
    "LocalEmbedding",
    "LocalError",
    "Manifest",
    "ModelCorrupt",
    "ModelNotFound",
    "ModelUnsupported",
    "Pooling",
    "Store",
    "VectorSpace",
    "embedway_home",
    "pull",
]
