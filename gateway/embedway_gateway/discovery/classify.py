"""
What the gateway can call on one deployment of OCI Data Science, from the deployment's own words.

Ways to call it, and the marks of each: oracle-ads 2.16 (ads/aqua) and Oracle's samples
of multiple inference endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from embedway_gateway.discovery.command import Options, read_options, split
from embedway_gateway.discovery.deployment import Deployment
from embedway_gateway.discovery.field import entries, parse, table, text
from embedway_gateway.discovery.found import Capability, EngineName, Found, Invoke
from embedway_gateway.discovery.recognise import (
    capabilities_of_options,
    capability_of_path,
    capability_of_task,
    recognise_capabilities,
    recognise_engine,
)
from embedway_gateway.discovery.tag import Tag, read_tag

__all__ = ["PATHS", "Hint", "Served", "ambiguous", "classify"]

PATHS: dict[EngineName, str] = {
    "tei": "/v1/embeddings",
    "vllm": "/v1/embeddings",
    "openai": "/v1/embeddings",
    "ovms": "/v3/embeddings",
    "infinity": "/embeddings",
    "onnx": "/predict",
}
"""Where each engine embeds."""

# AQUA gives every vLLM this name, whatever it serves: as a name it would mix models up.
_CONSTANT_NAMES = frozenset({"odsc-llm", "odsc-vllm"})


@dataclass(frozen=True, slots=True)
class Hint:
    """What the catalogue's model says of a deployment whose own marks are not enough."""

    engine: EngineName | None = None
    capability: Capability | None = None


@dataclass(frozen=True, slots=True)
class Served:
    """One entry of what the deployment itself answers to `GET /v1/models`."""

    name: str
    engine: EngineName | None = None
    capabilities: frozenset[Capability] = frozenset()


def ambiguous(deployment: Deployment) -> bool:
    """Whether only the catalogue's model can tell what a container of AQUA is for."""
    if not deployment.aqua or not deployment.container or read_tag(deployment.tags):
        return False
    if "MULTI_MODEL_CONFIG" in deployment.environment:
        return False
    options = deployment.options
    capabilities = recognise_capabilities(
        deployment, options, recognise_engine(deployment, options)
    )
    return len(capabilities) != 1


def classify(
    deployment: Deployment,
    *,
    source: str,
    hint: Hint | None = None,
    served: Sequence[Served] = (),
) -> list[Found]:
    """
    One `Found` a model, none where the deployment is nothing of ours. Raises `ValueError` where
    it is, but cannot be called: the message names the cure.
    """
    hint, tag = hint or Hint(), read_tag(deployment.tags)
    if tag is not None and tag.hidden:
        return []
    if not deployment.container and tag is None:
        return []  # A conda environment's score.py carries no mark of its own.
    tag, several = tag or Tag(), _several(deployment)
    blank = _blank(deployment, tag, hint, served[0].engine if served else None)
    blank = replace(blank, source=source)
    if several:
        models = (_one_of_several(blank, deployment, tag, item) for item in several)
        return [found for found in models if found is not None]
    if not blank.capabilities:
        if tag == Tag():
            return []
        blank = replace(blank, capabilities=frozenset({"embed"}))
    return _named(_placed(blank, deployment, tag), deployment, tag, served)


def _blank(deployment: Deployment, tag: Tag, hint: Hint, owner: EngineName | None) -> Found:
    """What is true of every model of the deployment; without a name and a way to call it."""
    options = deployment.options
    engine = tag.engine or recognise_engine(deployment, options) or hint.engine or owner
    capabilities: frozenset[Capability] = tag.capabilities
    capabilities = capabilities or recognise_capabilities(deployment, options, engine)
    if hint.capability and not tag.capabilities and len(capabilities) != 1:
        capabilities = frozenset({hint.capability})
    return Found(
        name="",
        engine=engine or ("openai" if deployment.container else "onnx"),
        platform="oci",
        url=deployment.url,
        capabilities=capabilities,
        dimensions=tag.dimensions,
        pooling=tag.pooling,
        precision=tag.precision,
        revision=tag.revision,
        deployment=deployment.id,
        created=deployment.created,
        content=deployment.content,
        source="",
        state=deployment.state,
    )


def _placed(found: Found, deployment: Deployment, tag: Tag) -> Found:
    """The same with the way to call it."""
    invoke, path = _way(found, deployment)
    invoke = tag.invoke or invoke
    if invoke is None:
        raise ValueError(
            f"a {found.engine} that cannot be reached behind /predict: set the environment "
            f"variable MODEL_DEPLOY_PREDICT_ENDPOINT={PATHS[found.engine]} or "
            "predictApiSpecification openai, or say invoke= in its tag embedway"
        )
    path = tag.path or path
    return replace(found, invoke=invoke, path=None if path == PATHS[found.engine] else path)


def _way(found: Found, deployment: Deployment) -> tuple[Invoke | None, str | None]:
    """How, and the path where it is known and the deployment has no other."""
    wanted: Capability = next(c for c in ("embed", "rerank", "chat") if c in found.capabilities)
    embeds = wanted == "embed"
    for suffix in deployment.suffixes:
        if capability_of_path(suffix) == wanted:
            return "suffix", suffix if embeds else None
        if embeds and _covers(suffix, PATHS[found.engine]):
            return "suffix", None
    if deployment.specification == "openai" and wanted != "rerank":
        return "suffix", "/v1/embeddings" if embeds else None
    if not deployment.container:
        return "predict", None
    if wanted == "chat" and deployment.aqua:
        # AQUA's path is /v1/completions whatever the model; the header reaches both routes.
        return "route", None
    if capability_of_path(deployment.predict_path) == wanted:
        return "predict", None if wanted == "rerank" else deployment.predict_path
    return ("route", None) if deployment.aqua else (None, None)


def _covers(suffix: str, path: str) -> bool:
    wanted, given = path.split("/"), suffix.split("/")
    pairs = zip(given, wanted, strict=False)
    return len(given) == len(wanted) and all(part in {"{}", own} for part, own in pairs)


def _named(found: Found, deployment: Deployment, tag: Tag, served: Sequence[Served]) -> list[Found]:
    """The same with its names; one for each that the deployment itself says it serves."""
    declared = _declared(found.engine, deployment, deployment.options)
    if len(served) > 1 and not declared and not tag.model:
        several = []
        for one in served:
            capabilities = one.capabilities or found.capabilities
            names = _names(Tag(), deployment, (one.name,))
            several.append(_with(replace(found, capabilities=capabilities), names, one.name))
        return several
    if served and not declared:
        declared = (served[0].name,)
        found = replace(found, capabilities=served[0].capabilities or found.capabilities)
    model = tag.model or (declared[0] if declared else None)
    return [_with(found, _names(tag, deployment, declared), model)]


def _with(found: Found, names: tuple[str, ...], model: str | None) -> Found:
    return replace(found, name=names[0], aliases=names[1:], model=model)


def _names(tag: Tag, deployment: Deployment, served: tuple[str, ...]) -> tuple[str, ...]:
    """The tag's name, else the served, AQUA's, or the displayed; then what else it goes by."""
    telling = [name for name in served if name not in _CONSTANT_NAMES and not name.startswith("/")]
    aqua = deployment.tags.get("aqua_model_name", "").strip()
    name = tag.name or next(iter(telling), "") or aqua or deployment.display_name or deployment.id
    others = (*telling, *(one for one in served if one in _CONSTANT_NAMES))
    return tuple(dict.fromkeys((name, *others)))


def _declared(engine: EngineName, deployment: Deployment, options: Options) -> tuple[str, ...]:
    """The served names that the deployment was started with."""
    environment = deployment.environment
    if names := options.get("served-model-name"):
        return names
    if engine == "infinity":
        name = environment.get("INFINITY_SERVED_MODEL_NAME", "").strip()
        model = "".join(options.get("model-id", ())[:1]) or environment.get("INFINITY_MODEL_ID", "")
        # Its default: the last two parts of what it loads.
        name = name or "/".join(model.strip("/;").split("/")[-2:])
        return (name,) if name and ";" not in name else ()
    if engine == "ovms":
        return options.get("model-name", ())[:1]
    if engine == "tei":
        # Its default is what it loads: a name on the hub, else a folder.
        return tuple(name for name in options.get("model-id", ())[:1] if not name.startswith("/"))
    return ()


def _several(deployment: Deployment) -> list[object]:
    raw = deployment.environment.get("MULTI_MODEL_CONFIG", "")
    return entries(table(parse(raw)).get("models")) if raw else []


def _one_of_several(found: Found, deployment: Deployment, tag: Tag, item: object) -> Found | None:
    entry = table(item)
    options = read_options(split(text(entry.get("params"))))
    said = capability_of_task(text(entry.get("model_task")))
    capabilities = capabilities_of_options(options) or frozenset({said or "chat"})
    names = options.get("served-model-name", ())
    name = names[0] if names else text(entry.get("model_name")) or text(entry.get("model_path"))
    if not name:
        return None
    engine: EngineName = "vllm" if found.engine == "openai" else found.engine
    found = replace(found, capabilities=capabilities, engine=engine)
    # The path behind /predict is one for all models; the route header names each one's own.
    environment = {"MULTI_MODEL_CONFIG": ""}
    placed = _placed(found, replace(deployment, environment=environment), replace(tag, path=None))
    return _with(placed, (name, *names[1:]), name)
