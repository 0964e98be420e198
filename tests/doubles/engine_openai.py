"""A stand-in for OpenAI's own server, which takes nothing that its reference does not name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from doubles.engine_server import (
    Answer,
    Asked,
    EngineServer,
    base64_of,
    decoded,
    is_ids,
    is_texts,
    load,
    tokens_of,
)

_FIELDS = {"model", "input", "encoding_format", "dimensions", "user"}
_MOST = 2048


class Refused(Exception):
    """An error of OpenAI's."""

    def __init__(self, text: str, code: str | None = None, status: int = 400) -> None:
        super().__init__(text)
        self.code, self.status = code, status


@dataclass(kw_only=True)
class OpenAIServer(EngineServer):
    """Sizes other than the model's own are cut and normalised again."""

    max_tokens: int = 8192
    limited: bool = False

    def __post_init__(self) -> None:
        self.headers.setdefault("openai-processing-ms", "3")

    def answer(self, asked: Asked) -> Answer:
        try:
            return Answer(200, self._serve(asked))
        except Refused as refused:
            kind = "invalid_request_error"
            told = {"message": str(refused), "type": kind, "param": None, "code": refused.code}
            return Answer(refused.status, {"error": told})

    def _serve(self, asked: Asked) -> Any:
        if not self.has_key(asked):
            raise Refused("Incorrect API key provided: sk-1", "invalid_api_key", 401)
        if asked.path == "/v1/models":
            return {"object": "list", "data": [{"id": self.model}]}
        if asked.path != "/v1/embeddings" or asked.method != "POST":
            raise Refused("Invalid URL", None, 404)
        if self.limited:
            raise Refused("Rate limit reached for", "rate_limit_exceeded", 429)
        return self._embed(asked)

    def _embed(self, asked: Asked) -> Any:
        try:
            body = load(asked.body) if asked.is_json else None
        except ValueError:
            body = None
        if not isinstance(body, dict) or set(body) - _FIELDS or None in body.values():
            raise Refused("'$' is invalid. Please check the API reference.")
        if not isinstance(body.get("model"), str):
            raise Refused("you must provide a model parameter")
        if body["model"] != self.model:
            text = f"The model `{body['model']}` does not exist or you do not have access to it."
            raise Refused(text, "model_not_found", 404)
        texts = _texts(body.get("input"))
        longest = max(map(tokens_of, texts))
        if longest > self.max_tokens:
            raise Refused(
                f"This model's maximum context length is {self.max_tokens} tokens, however you "
                f"requested {longest} tokens.",
            )
        self.note(asked, body)
        rows = self.vectors(texts)
        size = body.get("dimensions", self.dimensions)
        if not 0 < size <= self.dimensions:
            raise Refused("'$.dimensions' is invalid.")
        if size < self.dimensions:
            rows = rows[:, :size] / np.linalg.norm(rows[:, :size], axis=1, keepdims=True)
        based = body.get("encoding_format") == "base64" and not self.floats
        total = sum(map(tokens_of, texts))
        return {
            "object": "list",
            "data": self.items(base64_of(row) if based else row for row in rows),
            "model": self.model,
            "usage": {"prompt_tokens": total, "total_tokens": total},
        }


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if is_ids(texts):
        return decoded(texts)
    if not is_texts(texts) or not texts or len(texts) > _MOST or "" in texts:
        raise Refused("'$.input' is invalid. Please check the API reference.")
    found: list[str] = texts
    return found
