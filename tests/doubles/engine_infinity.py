"""A stand-in for infinity 0.0.77, of one model or of several."""

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
    is_texts,
    load,
)
from doubles.rerank_upstream import relevance

_CHARACTERS = 122_880
_MOST = 2048


@dataclass(kw_only=True)
class Infinity(EngineServer):
    """
    `infinity_emb/fastapi_schemas/pymodels.py`. `others` are served beside `model`. What it refuses
    with 422 it repeats whole.
    """

    others: tuple[str, ...] = ()
    prefix: str = ""
    capability: str = "embed"
    colbert: bool = False
    room: int = 32_000
    """In the queue."""
    max_tokens: int = 512

    def answer(self, asked: Asked) -> Answer:
        if asked.path in {"/health", "/metrics"}:
            return Answer(200, {"unix": 1795189964.07})
        if not asked.path.startswith(self.prefix):
            return Answer(404, {"detail": "Not Found"})
        if not self.has_key(asked):
            return Answer(401, {"detail": "Unauthorized"}, {"www-authenticate": "Bearer"})
        match asked.path.removeprefix(self.prefix), asked.method:
            case "/models", "GET":
                return Answer(200, {"data": [self._about(name) for name in self._names]})
            case ("/embeddings" | "/rerank") as path, "POST":
                return self._post(asked, path)
            case (("/embeddings" | "/rerank" | "/models"), _):
                return Answer(405, {"detail": "Method Not Allowed"})
        return Answer(404, {"detail": "Not Found"})

    @property
    def _names(self) -> tuple[str, ...]:
        return (self.model, *self.others)

    def _about(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": 1, "capabilities": [self.capability]}

    def _post(self, asked: Asked, path: str) -> Answer:
        if not asked.is_json:
            return _entries(asked.body.decode(), model_attributes_type="Input should be a valid")
        try:
            body = load(asked.body)
        except ValueError:
            return _entries({}, json_invalid="JSON decode error")
        wrong = _misshapen(body, path)
        if wrong:
            return _entries(body, **wrong)
        self.note(asked, body)
        name = body.get("model", "default/not-specified")
        if self.others and name not in self._names:
            known = list(self._names)
            text = f"Invalid model: Engine for model name `{name}` not found. Available {known}."
            return _error(400, text)
        task = "embed" if path == "/embeddings" else "rerank"
        if task != self.capability:
            text = f"ModelNotDeployedError: model=`{self.model}` does not support `{task}`."
            return _error(400, text)
        if self.room < len(body.get("input", body.get("documents", ()))):
            return _error(429, f"model {self.model} is currently overloaded")
        return self._rank(body) if task == "rerank" else self._embed(body)

    def _embed(self, body: dict[str, Any]) -> Answer:
        value = body["input"]
        texts = [text.strip() for text in ([value] if isinstance(value, str) else value)]
        rows = self.vectors([cut(text, self.max_tokens) for text in texts])
        size = body.get("dimensions", 0)
        if not 0 <= size <= self.dimensions:
            kind = "<class 'infinity_emb.primitives.MatryoshkaDimError'>"
            return _error(400, f"{kind} -> matryoshka_dim={size} is not in a valid range.")
        rows = rows[:, :size] if size else rows  # and not normalised again
        based = body.get("encoding_format") == "base64" and not self.floats
        forms = [base64_of(row) if based else _doubles(row) for row in rows]
        if self.colbert:
            forms = [[_doubles(row), _doubles(row)] for row in rows]
        return Answer(200, {**self._reply(texts), "object": "list", "data": self.items(forms)})

    def _rank(self, body: dict[str, Any]) -> Answer:
        texts = body["documents"]
        scores = [relevance(body["query"], text) for text in texts]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        back = body.get("return_documents", False)
        results = [
            {"relevance_score": scores[i], "index": i, "document": texts[i] if back else None}
            for i in order[: body.get("top_n")]
        ]
        return Answer(200, {**self._reply(texts), "object": "rerank", "results": results})

    def _reply(self, texts: list[str]) -> dict[str, Any]:
        characters = sum(map(len, texts))
        usage = {"prompt_tokens": characters, "total_tokens": characters}
        return {"model": self.model, "usage": usage, "id": "infinity-1", "created": 1}


def _doubles(row: Any) -> Any:
    return row.astype(np.float64)


def _error(status: int, text: str) -> Answer:
    inner = {"message": text, "type": None, "param": None, "code": status}
    return Answer(status, {"error": inner})


def _entries(given: Any, **kinds: str) -> Answer:
    return Answer(
        422,
        {
            "detail": [
                {"type": kind, "loc": ["body", "text"], "msg": text, "input": given}
                for kind, text in kinds.items()
            ]
        },
    )


def _misshapen(body: Any, path: str) -> dict[str, str]:
    """What pydantic finds wrong."""
    if not isinstance(body, dict):
        return {"model_attributes_type": "Input should be a valid dictionary"}
    texts = body.get("input" if path == "/embeddings" else "documents")
    texts = [texts] if isinstance(texts, str) else texts
    if not is_texts(texts):
        return {"string_type": "Input should be a valid string"}
    if not texts:
        return {"too_short": "List should have at least 1 item after validation, not 0"}
    if len(texts) > _MOST:
        return {"too_long": f"List should have at most {_MOST} items after validation"}
    if max(map(len, texts)) > _CHARACTERS:
        return {"string_too_long": f"String should have at most {_CHARACTERS} characters"}
    if body.get("encoding_format", "float") not in {"float", "base64"}:
        return {"enum": "Input should be 'float' or 'base64'"}
    if type(body.get("dimensions", 0)) is not int:
        return {"int_type": "Input should be a valid integer"}
    return {} if isinstance(body.get("model", ""), str) else {"string_type": "Input should be"}
