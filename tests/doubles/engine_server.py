"""What the stand-ins for engines share: a request read, an answer written, and a memory."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from doubles.openai_upstream import _lifespan


@dataclass(frozen=True)
class Asked:
    """One request that a stand-in got."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_json(self) -> bool:
        return "application/json" in self.headers.get("content-type", "")


@dataclass(frozen=True)
class Answer:
    """What a stand-in says; `body` is bytes as they are, or something to be written as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


def vectors_of(
    texts: Iterable[str], *, model: str = "", dimensions: int = 8
) -> NDArray[np.float32]:
    """Unit vectors that depend on text and model and nothing else; at most 16 dimensions."""
    size = 4 * dimensions
    raw = b"".join(
        blake2b(f"{model}\0{text}".encode(), digest_size=size).digest() for text in texts
    )
    numbers = np.frombuffer(raw, "<u4").reshape(-1, dimensions) / 2**31 - 1
    unit: NDArray[np.float32] = (numbers / np.linalg.norm(numbers, axis=1, keepdims=True)).astype(
        np.float32
    )
    return unit


def tokens_of(text: str) -> int:
    """Words, and the two special tokens."""
    return len(text.split()) + 2


def cut(text: str, most: int) -> str:
    """The text as a model sees it that takes `most` tokens."""
    words = text.split()
    return text if len(words) <= most - 2 else " ".join(words[: most - 2])


@dataclass(kw_only=True)
class EngineServer:
    """
    An ASGI application. `seen` are the requests; `odd` what the engine lets pass in them although
    nobody should send it: fields beside `expects`, nulls, a body without its length.

    `model` is another vector space for each name. `spoil` "nan" puts one into a vector.
    """

    dimensions: int = 8
    model: str = "model"
    salt: str = ""
    """Before each text, unasked: another space under the same name."""
    length: float = 1.0
    """Of each vector."""
    key: str | None = None
    floats: bool = False
    """Whether it answers with floats, whatever it is asked for."""
    spoil: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    later: dict[str, Any] = field(default_factory=dict)
    """What it is from the second request on."""
    seen: list[Asked] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)
    rng: random.Random = field(default_factory=lambda: random.Random(7))

    expects = frozenset({"model", "input", "encoding_format"})
    expects_to_rerank = frozenset({"model", "query", "documents"})

    def answer(self, asked: Asked) -> Answer:
        """What the engine says to a request."""
        raise NotImplementedError

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        asked = Asked(scope["method"], scope["path"], headers, body)
        self.seen.append(asked)
        answer = self.answer(asked)
        vars(self).update(self.later)
        written = answer.body if isinstance(answer.body, bytes) else dump(answer.body)
        lines = {
            "content-type": "application/json",
            "content-length": str(len(written)),
            **self.headers,
            **answer.headers,
        }
        pairs = [(key.encode(), value.encode()) for key, value in lines.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": written})

    def has_key(self, asked: Asked) -> bool:
        return self.key is None or asked.headers.get("authorization") == f"Bearer {self.key}"

    def note(self, asked: Asked, body: Mapping[str, Any]) -> None:
        """Keep what is odd about a request that the engine is about to serve."""
        reranks = "query" in body
        expected = self.expects_to_rerank if reranks else self.expects
        self.odd += [f"field {name}" for name in body if name not in expected]
        self.odd += [f"{name} is missing" for name in expected if name not in body]
        self.odd += [f"{name} is null" for name, value in body.items() if value is None]
        if asked.headers.get("content-length") != str(len(asked.body)):
            self.odd.append("content-length")
        if asked.headers.get("content-type") != "application/json":
            self.odd.append("content-type")

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The engine's own answer for texts."""
        salted = (self.salt + text for text in texts)
        rows = vectors_of(salted, model=self.model, dimensions=self.dimensions)
        rows *= np.float32(self.length)
        if self.spoil == "nan":
            rows[-1, 0] = np.nan
        return rows

    def items(self, forms: Iterable[Any]) -> list[dict[str, Any]]:
        """OpenAI's `data`, in any order."""
        data = [
            {"object": "embedding", "embedding": form, "index": index}
            for index, form in enumerate(forms)
        ]
        self.rng.shuffle(data)
        return data


def dump(value: Any) -> bytes:
    """JSON; a float32 is written as the shortest number that reads back, NaN as null."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def load(body: bytes) -> Any:
    """Whatever JSON says; `ValueError` where it is none."""
    return orjson.loads(body)


def base64_of(row: NDArray[np.float32], order: str = "<") -> str:
    return base64.b64encode(np.ascontiguousarray(row, f"{order}f4").tobytes()).decode()


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def is_ids(value: Any) -> bool:
    """One list of token ids, or several."""
    if not isinstance(value, list) or not value:
        return False
    lists = value if isinstance(value[0], list) else [value]
    return all(isinstance(one, list) and all(type(id_) is int for id_ in one) for one in lists)


def decoded(value: Any) -> list[str]:
    """The texts that an engine reads in token ids: never those that the caller meant."""
    lists = value if isinstance(value[0], list) else [value]
    return [" ".join(f"##{id_}" for id_ in ids) for ids in lists]
