"""The model that is to be deployed, read by the local runtime before anything is planned."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from embedway_deploy.error import Refused
from embedway_deploy.order import NamedModel

if TYPE_CHECKING:
    from embedway_gateway.precision import Precision
    from embedway_local import Pooling
    from embedway_local.checkpoint import Checkpoint

__all__ = ["HIDDEN", "deploy_home", "matryoshka_of", "read_model", "revision_of", "tag_of"]

_LONGEST_TAG = 256
_TAG = "embedway"

HIDDEN: Mapping[str, str] = MappingProxyType({_TAG: "off"})
"""With this tag the gateway's discovery does not find a deployment."""


def read_model(
    order: NamedModel,
    *,
    pooling: Pooling | None = None,
    max_tokens: int | None = None,
    plain: bool = False,
) -> Checkpoint:
    """
    Found, downloaded where it is not here, and whole. Raises `Refused`.

    `plain`: for an engine that reads nothing of a tokenizer but tokenizer.json.
    """
    # Imported here: it brings numpy, and the store's parts.
    from embedway_local import LocalError, Store
    from embedway_local.source.find import find

    store = Store(deploy_home(order).parent)
    try:
        checkpoint = find(order.model, store, pooling=pooling, max_tokens=max_tokens)
        if plain:
            _require_plain(checkpoint)
    except (LocalError, ValueError) as error:
        raise Refused([str(error)]) from error
    return checkpoint


def _require_plain(checkpoint: Checkpoint) -> None:
    from embedway_local.file import digest
    from embedway_local.tokenise import Tokeniser

    if Tokeniser(checkpoint).digest != digest(checkpoint.tokenizer):
        raise Refused(
            [
                (
                    f"{checkpoint.folder}: its tokenizer is read other than tokenizer.json says "
                    "(tokenizer_config.json, or a text that is cut on the left), and this engine "
                    "reads tokenizer.json alone; make both say the same, or take another engine"
                )
            ]
        )


def deploy_home(order: NamedModel) -> Path:
    """The folder for what is prepared, beside the model store."""
    from embedway_local import embedway_home

    return (order.home or embedway_home()) / "deploy"


def matryoshka_of(order: NamedModel) -> tuple[int, ...]:
    """The smaller sizes that the model was trained for, as far as the catalogue knows."""
    from embedway_local import known

    listed = known(order.model)
    return () if listed is None else listed.matryoshka


def revision_of(
    order: NamedModel, checkpoint: Checkpoint, *, form: str, graph: Path | None = None
) -> str:
    """
    The same word for all deployments that give the same vectors, wherever they are and whichever
    engine runs them: 12 hexadecimal digits. `form` is the number format, and where that is made by
    us also what was made; `graph` is deployed instead of the weights. Raises `Refused`.

    Discovery makes a fingerprint of it and of nothing else that is deployed.
    """
    from embedway_local import LocalError, embedway_home
    from embedway_local.file import digest
    from embedway_local.graph.cache import weights_digest
    from embedway_local.graph.fact import deciding
    from embedway_local.graph.outside import outside_files
    from embedway_local.tokenise import Tokeniser

    try:
        facts = {
            "weights": [digest(path) for path in (graph, *outside_files(graph))]
            if graph is not None
            else weights_digest(checkpoint, order.home or embedway_home()),
            "encoder": "" if graph is not None else deciding(checkpoint),
            "tokenizer": Tokeniser(checkpoint).digest,
            "pooling": checkpoint.pooling,
            "max_tokens": checkpoint.max_tokens,
            "lowercase": checkpoint.lowercase,
            "prompts": dict(checkpoint.prompts),
            "form": form,
        }
    except LocalError as error:
        raise Refused([str(error)]) from error
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]


def tag_of(
    order: NamedModel,
    checkpoint: Checkpoint,
    *,
    engine: str,
    extra: str = "",
    precision: Precision = "fp32",
    form: str | None = None,
    graph: Path | None = None,
) -> dict[str, str]:
    """
    The freeform tag that the gateway's discovery reads; `form` is `revision_of`'s, where it is not
    the precision. Raises `Refused` for an odd name.
    """
    value = f"{order.called}, engine={engine}, dimensions={checkpoint.hidden}{extra}"
    value += f", revision={revision_of(order, checkpoint, form=form or precision, graph=graph)}"
    if precision != "fp32":
        value += f", precision={precision}"
    if "," in order.called or "=" in order.called or len(value) > _LONGEST_TAG:
        raise Refused(
            [f"the name {order.called!r} does not fit into a tag; give another with --served-name"]
        )
    return {_TAG: value}
