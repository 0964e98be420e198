"""
Which engine a deployment runs, and what it can do, from the marks it carries.

The marks are those that oracle-ads 2.16 sets (ads/aqua). No tag of AI Quick Actions says
"embedding", so what a deployment is called or tagged decides nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from embedway_gateway.discovery.command import Options
from embedway_gateway.discovery.deployment import Deployment
from embedway_gateway.discovery.found import Capability, EngineName

__all__ = [
    "capabilities_of_options",
    "capability_of_path",
    "capability_of_task",
    "engine_of_image",
    "recognise_capabilities",
    "recognise_engine",
]

# Sought in the last part of an image's address, so that a registry's or tenancy's name is none.
_IMAGES: tuple[tuple[re.Pattern[str], EngineName], ...] = (
    (re.compile(r"text-embeddings-inference|\btei\b"), "tei"),
    (re.compile(r"infinity"), "infinity"),
    (re.compile(r"model[_-]server|ovms"), "ovms"),
    (re.compile(r"vllm"), "vllm"),
    # Both speak OpenAI's chat; neither embeds.
    (re.compile(r"tgi|text-generation-inference|llama-cpp"), "openai"),
)
_GENERATES = re.compile(r"tgi|text-generation-inference|llama-cpp")

_PATHS: tuple[tuple[str, Capability], ...] = (
    ("/embeddings", "embed"),
    ("/embed", "embed"),
    ("/embedding", "embed"),  # as oracle-ads writes it (aqua/common/enums.py:26)
    ("/rerank", "rerank"),
    ("/completions", "chat"),
)
_TASKS: dict[str, Capability] = {
    "embed": "embed",
    "embedding": "embed",
    "embeddings": "embed",
    "text_embedding": "embed",
    "rerank": "rerank",
    "score": "rerank",
    "generate": "chat",
    "text_generation": "chat",
    "image_text_to_text": "chat",
}
_VLLM_OPTIONS = {"runner", "convert", "max-model-len", "tensor-parallel-size", "task"}


def recognise_engine(deployment: Deployment, options: Options) -> EngineName | None:
    """From the image, then the command and environment, then the path; None when nothing tells."""
    if engine := engine_of_image(deployment.image):
        return engine
    if not deployment.container:
        return None
    words = {word.rpartition("/")[2] for word in deployment.command[:3]}
    if "infinity_emb" in words or any(k.startswith("INFINITY_") for k in deployment.environment):
        return "infinity"
    if _VLLM_OPTIONS & options.keys():
        return "vllm"
    if {"rest-port", "rest-bind-address"} & options.keys():
        return "ovms"
    if "model-id" in options:
        return "infinity" if "v2" in words else "tei"
    if deployment.predict_path.startswith("/v3/"):
        return "ovms"
    return "tei" if deployment.predict_path == "/embed" else None


def engine_of_image(image: str) -> EngineName | None:
    """Of an image's address, or of the name of a container family of AQUA."""
    last = image.lower().rpartition("/")[2]
    return next((engine for pattern, engine in _IMAGES if pattern.search(last)), None)


def recognise_capabilities(
    deployment: Deployment, options: Options, engine: EngineName | None
) -> frozenset[Capability]:
    """
    What the marks say; empty when they say nothing of the kind.

    `embed` and `chat` together: the marks fit both, and only the model could tell.
    """
    said = set(_said(deployment, options))
    if said:
        return frozenset(said)
    if _GENERATES.search(deployment.image.lower().rpartition("/")[2]):
        return frozenset({"chat"})
    if engine == "vllm":
        return frozenset({"embed", "chat"})
    if engine is not None or deployment.specification == "openai":
        return frozenset({"embed"})
    return frozenset()


def capability_of_path(path: str) -> Capability | None:
    """What a path of an HTTP interface is for."""
    for end, capability in _PATHS:
        if path.rstrip("/").endswith(end):
            return capability
    return None


def capability_of_task(task: str) -> Capability | None:
    """What a task is, as vLLM, OVMS and Oracle's model catalogue name them."""
    return _TASKS.get(task.strip().lower().replace("-", "_"))


def capabilities_of_options(options: Options) -> frozenset[Capability]:
    """What a server is told to do, empty where it is not told."""
    runs: set[Capability] = set()
    for task in options.get("task", ()):
        if capability := capability_of_task(task):
            runs.add(capability)
    if "pooling" in options.get("runner", ()) or "embed" in options.get("convert", ()):
        runs.add("embed")
    if "generate" in options.get("runner", ()):
        runs.add("chat")
    return frozenset(runs)


def _said(deployment: Deployment, options: Options) -> Iterable[Capability]:
    if runs := capabilities_of_options(options):
        # What the server was started for outweighs a path: AQUA sets /v1/completions for all.
        return runs
    paths = (deployment.predict_path, *deployment.suffixes)
    return [capability for path in paths if (capability := capability_of_path(path))]
