"""A stand-in for text-embeddings-inference, as its versions 1.5, 1.8 and 1.9 are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

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

_OPENAI = ("/v1/embeddings", "/embeddings")
_POST = (*_OPENAI, "/embed", "/rerank")
_PUBLIC = ("/health", "/", "/ping", "/metrics", "/docs")
_TIMINGS = {
    "x-compute-type": "gpu+optimized",
    **dict.fromkeys(("x-compute-time", "x-compute-tokens", "x-total-time", "x-queue-time"), "3"),
}


class Refused(Exception):
    """An error of TEI's own; `kind` is its type."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(kw_only=True)
class TEI(EngineServer):
    """`router/src/http/server.rs`; `permits` are those that are free."""

    version: str = "1.9.3"
    kind: str = "embedding"
    max_client_batch_size: int = 32
    payload_limit: int = 2_000_000
    permits: int = 512
    max_input_length: int = 512
    auto_truncate: bool | None = None
    """None is the version's default."""

    expects_to_rerank = frozenset({"query", "texts"})

    def is_at_least(self, version: str) -> bool:
        return _numbers(self.version) >= _numbers(version)

    @property
    def truncates(self) -> bool:
        return self.is_at_least("1.9") if self.auto_truncate is None else self.auto_truncate

    def answer(self, asked: Asked) -> Answer:
        guarded = not self.is_at_least("1.5.1") or asked.path not in _PUBLIC
        if guarded and not self.has_key(asked):
            return Answer(401, b"")
        if asked.path in _POST:
            return self._post(asked) if asked.method == "POST" else Answer(405, b"")
        if asked.path == "/info":
            return Answer(200, self._info())
        return Answer(200 if asked.path in _PUBLIC else 404, b"")

    def _post(self, asked: Asked) -> Answer:
        if not asked.is_json:
            return _plain(415, "Expected request with `Content-Type: application/json`")
        if len(asked.body) > self.payload_limit:
            return _plain(413, "Failed to buffer the request body: length limit exceeded")
        try:
            body = load(asked.body)
        except ValueError:
            return _plain(400, "Failed to parse the request body as JSON: EOF while parsing")
        wrong = _misshapen(asked.path, body)
        if wrong:
            text = f"Failed to deserialize the JSON body into the target type: {wrong}"
            return _plain(422, text)
        self.note(asked, body)
        try:
            if asked.path == "/rerank":
                return Answer(200, self._rank(body), _TIMINGS)
            return Answer(200, self._embed(asked.path, body), _TIMINGS)
        except Refused as refused:
            return self._refuse(refused, native=asked.path not in _OPENAI)

    def _refuse(self, refused: Refused, *, native: bool) -> Answer:
        kind = refused.kind
        if kind == "Empty" and not self.is_at_least("1.5.1"):
            kind = "Validation"
        status = {"Overloaded": 429, "Backend": 424, "Empty": 400}.get(
            kind, 422 if self.is_at_least("1.9") else 413
        )
        if native:
            return Answer(status, {"error": str(refused), "error_type": kind})
        return Answer(status, {"message": str(refused), "code": status, "type": kind})

    def _embed(self, path: str, body: dict[str, Any]) -> Any:
        value = body["inputs" if path == "/embed" else "input"]
        texts = [value] if isinstance(value, str) else value
        texts = decoded(texts) if is_ids(texts) else texts
        self._admit(texts)
        if self.kind != "embedding":
            raise Refused("Backend", "Backend error: Model is not an embedding model")
        rows = self.vectors([self._read(text) for text in texts])
        size = body.get("dimensions") if self.is_at_least("1.8") else None
        if size is not None:
            if not 0 < size <= self.dimensions:
                raise Refused("Validation", "Input validation error: `dimensions` should be")
            rows = rows[:, :size] / np.linalg.norm(rows[:, :size], axis=1, keepdims=True)
        if path == "/embed":
            return list(rows)
        based = body.get("encoding_format") == "base64" and not self.floats
        total = sum(min(tokens_of(text), self.max_input_length) for text in texts)
        return {
            "object": "list",
            "data": self.items(base64_of(row) if based else row for row in rows),
            "model": "/opt/ds/model/deployed_model/BAAI/bge-base-en-v1.5/",
            "usage": {"prompt_tokens": total, "total_tokens": total},
        }

    def _rank(self, body: dict[str, Any]) -> Any:
        self._admit(body["texts"])
        if self.kind != "reranker":
            raise Refused("Backend", "model is not a re-ranker model")
        scores = [relevance(body["query"], text) for text in body["texts"]]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        return [{"index": index, "score": scores[index]} for index in order]

    def _admit(self, texts: list[str]) -> None:
        """The batch as a whole."""
        if not texts:
            raise Refused("Empty", "`inputs` cannot be empty")
        most = self.max_client_batch_size
        if len(texts) > most:
            text = f"batch size {len(texts)} > maximum allowed batch size {most}"
            raise Refused("Validation", text)
        # Up to 1.8 a batch waits for its permits; only a text alone is refused.
        needed = len(texts) if self.is_at_least("1.9") else int(len(texts) == 1)
        if needed > self.permits:
            raise Refused("Overloaded", "Model is overloaded")

    def _read(self, text: str) -> str:
        if not text:
            raise Refused("Empty", "Input validation error: `inputs` cannot be empty")
        most = self.max_input_length * 250
        # 1.5 looks at the characters even where it truncates.
        if len(text) > most and not (self.truncates and self.is_at_least("1.6")):
            raise Refused(
                "Validation",
                f"Input validation error: `inputs` must have less than {most} characters. "
                f"Given: {len(text)}",
            )
        given = tokens_of(text)
        if given > self.max_input_length and not self.truncates:
            raise Refused(
                "Validation",
                f"Input validation error: `inputs` must have less than {self.max_input_length} "
                f"tokens. Given: {given}",
            )
        return cut(text, self.max_input_length)

    def _info(self) -> dict[str, Any]:
        about = {"embedding": {"pooling": "cls"}} if self.kind == "embedding" else {self.kind: {}}
        told: dict[str, Any] = {
            "model_id": "/data/model",
            "model_type": about,
            "max_concurrent_requests": 512,
            "max_input_length": self.max_input_length,
            "max_client_batch_size": self.max_client_batch_size,
            "version": self.version,
        }
        if self.is_at_least("1.9"):
            told |= {"served_model_name": self.model, "auto_truncate": self.truncates}
        return told


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _plain(status: int, text: str) -> Answer:
    return Answer(status, text.encode(), {"content-type": "text/plain; charset=utf-8"})


def _misshapen(path: str, body: Any) -> str:
    """What serde finds wrong; empty when nothing is."""
    if path == "/rerank":
        fits = isinstance(body, dict) and isinstance(body.get("query"), str)
        return "" if fits and is_texts(body.get("texts")) else "missing field `texts`"
    field = "inputs" if path == "/embed" else "input"
    if not isinstance(body, dict) or field not in body:
        return f"missing field `{field}` at line 1 column 2"
    value = body[field]
    if not isinstance(value, str) and not is_texts(value) and not is_ids(value):
        return f"{field}: data did not match any variant of untagged enum Input"
    if body.get("encoding_format", "float") not in {"float", "base64"}:
        return "encoding_format: unknown variant"
    if not isinstance(body.get("dimensions"), int | None):
        return "dimensions: invalid type"
    return "" if isinstance(body.get("model"), str | None) else "model: invalid type"
