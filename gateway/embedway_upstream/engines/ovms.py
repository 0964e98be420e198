"""The dialect of OpenVINO Model Server, versions 2024.5 to 2026.3."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from embedway_upstream.engines.chat import chat_paths
from embedway_upstream.engines.cohere import Cohere
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Facts, Probe, model_list, reader
from embedway_upstream.engines.verdict import (
    Rule,
    empty,
    failed,
    loading,
    misunderstood,
    no_key,
    no_route,
    too_long,
    too_many,
    unknown_model,
)

__all__ = ["OVMS"]


class _Version(msgspec.Struct):
    state: str


class _Status(msgspec.Struct):
    model_version_status: list[_Version]


class _Server(msgspec.Struct):
    version: str


def _from_config(told: dict[str, _Status]) -> Facts:
    return Facts(
        models=tuple(
            name
            for name, status in told.items()
            if any(version.state == "AVAILABLE" for version in status.model_version_status)
        )
    )


class OVMS(Cohere):
    """
    `model` is the graph's name. Replies tell no model, and old builds no usage. No server of this
    kind limits the number of texts; long ones are refused unless the graph says `truncate`.

    Every error is `{"error": text}`, and its status alone means little: a wrong key and an unknown
    model may be 500 (`src/http_rest_api_handler.cpp`), a text that is too long is 400. The names
    of nodes in the texts are those of the graph's file, so that only the rest is looked for.
    """

    path = "/v3/embeddings"
    chat_paths = chat_paths("/v3")
    limits = Limits(max_bytes=1_000_000_000)
    probes = (
        Probe("/v3/models", model_list),
        # Before 2025.3 only this lists the models; 2024.5 lists their parts too.
        Probe("/v1/config", reader(dict[str, _Status], _from_config)),
        Probe("/v2", reader(_Server, lambda told: Facts(version=told.version))),
    )

    rerank_path = "/v3/rerank"
    # Chunks, of which a document is one or more (`max_allowed_chunks`).
    rerank_limits = Limits(max_inputs=10_000, max_bytes=1_000_000_000)

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(too_long, says=r"Input length \d+ longer than allowed (?P<limit>\d+)"),
        Rule(too_many, says="max_allowed_chunks"),
        Rule(empty, says="input array should not be empty|inner arrays in input should not be"),
        Rule(misunderstood, says="input field is required|input (must|should) be|element in input"),
        Rule(misunderstood, says="encoding_format should"),
        Rule(unknown_model, says="graph definition with requested name is not found"),
        Rule(unknown_model, says="^Model (with requested name is )?not found"),
        Rule(no_key, says="invalid or missing api-key"),
        Rule(loading, says="not loaded yet|Server is not ready"),
        Rule(failed, says="INTERNAL|RET_CHECK"),
        Rule(no_route, says="Invalid request URL"),
        Rule(no_route, statuses=frozenset({404, 405, 406})),
        Rule(misunderstood, statuses=frozenset({412})),
    )

    def __init__(self, *, model: str | None = None) -> None:
        super().__init__(model=model)
        # `/v2/health/ready` is true of a server without any model.
        self.ready = None if model is None else f"/v2/models/{model}/ready"
