"""A stand-in for vLLM's pooling server: 0.33, and up to 0.10 with its flat errors."""

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

_RANK = ("/rerank", "/v1/rerank", "/v2/rerank")


class Refused(Exception):
    """An error of vLLM's own."""

    def __init__(self, text: str, status: int = 400, kind: str = "BadRequestError") -> None:
        super().__init__(text)
        self.status, self.kind = status, kind


@dataclass(kw_only=True)
class VLLM(EngineServer):
    """
    `vllm/entrypoints/pooling`. `task` is embed, token_embed, score or generate; routes are there
    for that one. base64 is in the machine's own order unless it is named: here big-endian.
    """

    version: str = "0.33.0"
    task: str = "embed"
    max_model_len: int = 512
    matryoshka: tuple[int, ...] = ()
    busy: bool = False

    expects = frozenset({"model", "input", "encoding_format", "embed_dtype", "endianness"})

    def __post_init__(self) -> None:
        self.headers.setdefault("access-control-allow-origin", "*")

    @property
    def nests(self) -> bool:
        return self.version != "0.10.0"

    def answer(self, asked: Asked) -> Answer:
        if asked.path.startswith(("/v1", "/v2")) and not self.has_key(asked):
            return Answer(401, {"error": "Unauthorized"})
        match asked.path:
            case "/health":
                return Answer(200, b"")
            case "/version":
                return Answer(200, {"version": self.version})
            case "/v1/models":
                one = {"id": self.model, "object": "model", "max_model_len": self.max_model_len}
                return Answer(200, {"object": "list", "data": [one]})
        there = {"embed": ("/v1/embeddings",), "token_embed": ("/v1/embeddings",), "score": _RANK}
        if asked.path not in there.get(self.task, ()):
            return Answer(404, {"detail": "Not Found"})
        if asked.method != "POST":
            return Answer(405, {"detail": "Method Not Allowed"})
        try:
            return Answer(200, self._post(asked))
        except Refused as refused:
            return self._refuse(refused)

    def _refuse(self, refused: Refused) -> Answer:
        told = {"message": str(refused), "type": refused.kind, "param": None}
        told["code"] = refused.status  # type: ignore[assignment]
        return Answer(
            refused.status, {"error": told} if self.nests else {"object": "error", **told}
        )

    def _post(self, asked: Asked) -> Any:
        if not asked.is_json:
            raise Refused("Unsupported Media Type: Only 'application/json' is allowed")
        try:
            body = load(asked.body)
        except ValueError:
            raise Refused("1 validation error:\n  {'type': 'json_invalid'}") from None
        if not isinstance(body, dict) or not {"input", "query"} & set(body):
            raise Refused("1 validation error:\n  {'type': 'missing'}")
        if "normalize" in body:
            raise Refused("Parameter `normalize` was removed; use `use_activation` instead.")
        name = body.get("model")
        if name not in {None, self.model}:
            raise Refused(f"The model `{name}` does not exist.", 404, "NotFoundError")
        if self.busy:
            text = "The engine is currently busy and cannot accept new requests."
            raise Refused(text, 503, "Service Unavailable")
        self.note(asked, body)
        return self._rank(body) if self.task == "score" else self._embed(body)

    def _embed(self, body: dict[str, Any]) -> Any:
        form = body.get("encoding_format", "float")
        allowed = {"float"} if self.task == "token_embed" else {"float", "base64"}
        if form not in allowed:
            raise Refused("1 validation error:\n  {'loc': ('body', 'encoding_format')}")
        texts = [self._read(text) for text in _texts(body["input"])]
        if not texts:
            raise Refused("You must pass at least one prompt")
        rows = self.vectors(texts)
        size = body.get("dimensions")
        if size is not None:
            if size not in self.matryoshka:
                text = f"Model '{self.model}' does not support Matryoshka embeddings"
                raise Refused(text)
            rows = rows[:, :size] / np.linalg.norm(rows[:, :size], axis=1, keepdims=True)
        based = form == "base64" and not self.floats
        order = "<" if body.get("endianness") == "little" else ">"
        forms = [base64_of(row, order) if based else row for row in rows]
        if self.task == "token_embed":
            forms = [[row, row] for row in rows]
        total = sum(map(tokens_of, texts))
        usage = {"prompt_tokens": total, "total_tokens": total, "completion_tokens": 0}
        return {
            "id": "embd-9f",
            "object": "list",
            "created": 1,
            "model": self.model,
            "data": self.items(forms),
            "usage": {**usage, "prompt_tokens_details": None},
        }

    def _read(self, text: str) -> str:
        given = tokens_of(text)
        if given > self.max_model_len:
            raise Refused(
                f"This model's maximum context length is {self.max_model_len} tokens. However, "
                f"your prompt contains at least {self.max_model_len + 1} input tokens."
            )
        return cut(text, self.max_model_len)

    def _rank(self, body: dict[str, Any]) -> Any:
        texts = body.get("documents")
        if not is_texts(texts):
            raise Refused("1 validation error:\n  {'loc': ('body', 'documents')}")
        assert isinstance(texts, list)
        scores = [relevance(body["query"], text) for text in texts]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])
        results = [
            {
                "index": index,
                "document": {"text": texts[index], "multi_modal": None},
                "relevance_score": scores[index],
            }
            for index in order[: body.get("top_n") or None]
        ]
        total = sum(map(tokens_of, texts))
        usage = {"prompt_tokens": total, "total_tokens": total}
        return {"id": "score-1", "model": self.model, "usage": usage, "results": results}


def _texts(value: Any) -> list[str]:
    if is_ids(value):
        return decoded(value)
    texts = [value] if isinstance(value, str) else value
    if not is_texts(texts):
        raise Refused("1 validation error:\n  {'loc': ('body', 'input')}")
    found: list[str] = texts
    return found
