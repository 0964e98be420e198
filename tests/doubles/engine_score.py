"""A stand-in for the `score.py` of an ONNX model, whose every mistake is a 500 of the platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doubles.engine_server import (
    Answer,
    Asked,
    EngineServer,
    is_ids,
    is_texts,
    load,
    tokens_of,
)


class Raised(Exception):
    """An exception in `predict`; its text is in the platform's message."""


@dataclass(kw_only=True)
class Score(EngineServer):
    """
    Not pooled it gives a row for each token, and for each pad up to the longest text of the batch.
    base64 is checked and then ignored.
    """

    pooled: bool = False
    max_positions: int = 512
    told: str = ""
    """An exception that it raises on each request."""

    expects = frozenset({"model", "input"})

    def answer(self, asked: Asked) -> Answer:
        headers = {"opc-request-id": "AAAA/BBBB/CCCC"}
        try:
            if asked.path != "/predict":
                return Answer(404, {"code": "NotAuthorizedOrNotFound", "message": ""}, headers)
            return Answer(200, self._predict(asked), headers)
        except Raised as raised:
            said = {"code": "InternalServerError", "message": str(raised)}
            return Answer(500, said, headers)

    def _predict(self, asked: Asked) -> Any:
        if self.told:
            raise Raised(self.told)
        try:
            body = load(asked.body)
        except ValueError:
            raise Raised("Expecting value: line 1 column 1 (char 0)") from None
        _validate(body)
        self.note(asked, body)
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        if is_ids(texts):
            raise Raised("text input must be of type `str` (single example), `list[str]` (batch")
        longest = max(map(tokens_of, texts))
        if longest > self.max_positions:
            raise Raised(
                "[ONNXRuntimeError] : 1 : FAIL : Non-zero status code returned while running Add "
                "node. Name:'/embeddings/Add_1'"
            )
        rows = self.vectors(texts) if self.pooled else map(self.tokens, texts)
        forms = [self._padded(row, longest) for row in rows]
        total = sum(map(tokens_of, texts))
        return {
            "object": "list",
            "data": self.items(forms),
            "model": body["model"],
            "usage": {"prompt_tokens": total, "total_tokens": total},
        }

    def tokens(self, text: str) -> NDArray[np.float32]:
        """The last hidden state of a text: a row for each token."""
        count = tokens_of(text)
        return self.vectors([f"{text}\0{number}" for number in range(count)])

    def _padded(self, row: NDArray[np.float32], longest: int) -> Any:
        if row.ndim == 1:
            return row.tolist()
        pads = np.full((longest - len(row), self.dimensions), 0.25, np.float32)
        return np.concatenate([row, pads]).tolist()


def _validate(body: Any) -> None:
    """`score-openai-schema.json`."""
    wrong = ""
    if not isinstance(body, dict) or "model" not in body:
        wrong = "'model' is a required property"
    elif "input" not in body:
        wrong = "'input' is a required property"
    elif body["input"] == []:
        wrong = "[] is valid under each of {...}"
    elif not {type(body.get(name, "")) for name in ("encoding_format", "user")} <= {str}:
        wrong = "None is not of type 'string'"
    elif body.get("encoding_format", "float") not in {"float", "base64"}:
        wrong = "'hex' is not one of ['float', 'base64']"
    elif not (isinstance(body["input"], str) or is_texts(body["input"]) or is_ids(body["input"])):
        wrong = "not valid under any of the given schemas"
    if wrong:
        raise Raised(f"JSON is invalid. Error: {wrong}\n An example of the expected format")
