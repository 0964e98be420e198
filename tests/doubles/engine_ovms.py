"""A stand-in for OpenVINO Model Server, as its versions 2024.5 to 2026.3 are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from doubles.engine_server import (
    Answer,
    Asked,
    EngineServer,
    base64_of,
    cut,
    decoded,
    is_ids,
    is_texts,
    load,
    tokens_of,
)
from doubles.rerank_upstream import relevance

_UNKNOWN = Answer(404, {"error": "Mediapipe graph definition with requested name is not found"})


class Failed(Exception):
    """What the graph says of a request."""


@dataclass(kw_only=True)
class OVMS(EngineServer):
    """`src/http_rest_api_handler.cpp`; `model` is the graph's name."""

    version: str = "2026.3"
    tells_usage: bool = True
    truncate: bool = False
    loading: bool = False
    max_length: int = 512

    def __post_init__(self) -> None:
        self.headers.setdefault("access-control-allow-origin", "*")

    def is_at_least(self, version: str) -> bool:
        return float(self.version) >= float(version)

    def answer(self, asked: Asked) -> Answer:
        stems = ("/v3", "/v1") if self.is_at_least("2026.3") else ("/v3",)
        for stem in stems:
            if asked.path in {f"{stem}/embeddings", f"{stem}/rerank"}:
                return self._post(asked)
            if asked.path == f"{stem}/models" and self.is_at_least("2025.3"):
                one = {"id": self.model, "object": "model", "created": 1, "owned_by": "OVMS"}
                return Answer(200, {"data": [one], "object": "list"})
        match asked.path:
            case "/v1/config":
                state = "LOADING" if self.loading else "AVAILABLE"
                return Answer(200, {self.model: {"model_version_status": [{"state": state}]}})
            case "/v2":
                server = {"name": "OpenVINO Model Server", "version": self.version}
                return Answer(200, server)
            case "/v2/health/live" | "/v2/health/ready":
                return Answer(200, b"")
        if asked.path.startswith("/v2/models/"):
            known = asked.path == f"/v2/models/{self.model}/ready" and not self.loading
            return Answer(200 if known else 404, b"")
        return Answer(400, {"error": "Invalid request URL"})

    def _post(self, asked: Asked) -> Answer:
        if asked.method != "POST":
            return Answer(406, {"error": "unsupported method"})
        if not self.has_key(asked):
            text = "Unauthorized request due to invalid or missing api-key"
            return Answer(500, {"error": text})
        if not asked.is_json:
            # URI routing: the model is what stands behind `/v3/`.
            return _UNKNOWN
        try:
            body = load(asked.body)
        except ValueError:
            return _invalid("Cannot parse JSON body")
        wrong = _misshapen(body)
        if wrong:
            return _invalid(wrong)
        if body["model"] != self.model:
            return _UNKNOWN
        if self.loading:
            return Answer(500, {"error": "Mediapipe is not loaded yet"})
        self.note(asked, body)
        try:
            return Answer(200, self._rank(body) if "query" in body else self._embed(body))
        except Failed as failed:
            node = "EmbeddingsExecutor" if self.is_at_least("2025.2") else "EmbeddingsCalculator"
            text = (
                "Mediapipe execution failed. MP status - INVALID_ARGUMENT: CalculatorGraph::Run() "
                f'failed: \nCalculator::Process() for node "{node}" failed: {failed}'
            )
            return Answer(400, {"error": text})

    def _embed(self, body: dict[str, Any]) -> Any:
        form = body.get("encoding_format", "float")
        if not isinstance(form, str):
            raise Failed("encoding_format should be string")
        if form not in {"float", "base64"}:
            raise Failed("encoding_format should either base64 or float")
        texts = [self._read(text) for text in _texts(body)]
        based = form == "base64" and not self.floats
        rows = self.vectors(texts)
        reply = {
            "object": "list",
            "data": self.items(base64_of(row) if based else row.tolist() for row in rows),
        }
        if self.tells_usage:
            total = sum(tokens_of(text) for text in texts)
            reply["usage"] = {"prompt_tokens": total, "total_tokens": total}
        return reply

    def _read(self, text: str) -> str:
        given = tokens_of(text)
        if given > self.max_length and not self.truncate:
            raise Failed(f"Input length {given} longer than allowed {self.max_length}")
        return cut(text, self.max_length)

    def _rank(self, body: dict[str, Any]) -> Any:
        if not is_texts(body.get("documents")):
            raise Failed("documents should be an array of strings")
        scores = [relevance(body["query"], text) for text in body["documents"]]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        most = body.get("top_n", len(order))
        return {
            "results": [{"index": i, "relevance_score": scores[i]} for i in order][:most],
        }


def _invalid(text: str) -> Answer:
    return Answer(412, {"error": f"The file is not valid json - {text}"})


def _misshapen(body: Any) -> str:
    """What is wrong before a graph sees it; empty when nothing is."""
    if not isinstance(body, dict):
        return "JSON body must be an object"
    if "model" not in body:
        return "model field is missing in JSON body"
    return "" if isinstance(body["model"], str) else "model field is not a string"


def _texts(body: dict[str, Any]) -> list[str]:
    if "input" not in body:
        raise Failed("input field is required")
    value = body["input"]
    if isinstance(value, str):
        return [value]
    if value == []:
        raise Failed("input array should not be empty")
    if is_ids(value):
        return decoded(value)
    if not is_texts(value):
        raise Failed("input should be string, array of strings or array of integers")
    texts: list[str] = value
    return texts
