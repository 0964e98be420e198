"""
Embeds texts in OCI Data Science's conda runtime: OpenAI's request in, OpenAI's answer out.

It stands alone beside its model: numpy, onnxruntime and tokenizers are all that it needs. The
platform, and ADS's `verify`, call `load_model()` once and `predict(data, model)` for every request.
A mistake of the caller's is answered, not raised: the platform makes a 500 of every exception,
which callers repeat.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

__all__ = ["load_model", "predict"]

FOLDER = Path(__file__).resolve().parent
SETTINGS = "embedway.json"
MOST_TEXTS = 2048
# Padded tokens of one call of the model.
CUDA_TOKENS, CPU_TOKENS = 16384, 4096

log = logging.getLogger("embedway.score")
_lock = threading.Lock()
_loaded: dict[str, Model] = {}


class Refusal(Exception):
    """What is wrong with a request; `param` is the field."""

    def __init__(self, message: str, param: str, code: str | None = None) -> None:
        super().__init__(message)
        self.param = param
        self.code = code


class Model:
    """The graph and its tokenizer; may be used by many threads at once."""

    def __init__(self, folder: Path) -> None:
        self.settings: dict[str, Any] = json.loads((folder / SETTINGS).read_text("utf-8"))
        self.name: str = self.settings["model"]
        self.dimensions: int = self.settings["dimensions"]
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.settings["max_tokens"])
        self.session = _session(folder / self.settings["graph"])
        self.cuda = self.session.get_providers()[0] == "CUDAExecutionProvider"
        self.inputs = {item.name: _kind(item) for item in self.session.get_inputs()}
        self.output = _output(self.session)
        # What does not fit together fails now, and not at the first request.
        self.embed(["ready"])
        log.info("%s on %s", self.name, self.session.get_providers()[0])

    def embed(self, texts: list[str]) -> tuple[np.ndarray, int]:
        """Unit vectors, float32 (n, dimensions), and how many tokens were read."""
        if self.settings["lowercase"]:
            texts = [text.lower() for text in texts]
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        vectors = np.empty((len(ids), self.dimensions), np.float32)
        for batch in _batches(ids, CUDA_TOKENS if self.cuda else CPU_TOKENS):
            vectors[batch] = self._run([ids[place] for place in batch])
        return vectors, sum(map(len, ids))

    def _run(self, ids: list[list[int]]) -> np.ndarray:
        lengths = np.array([len(item) for item in ids], np.int64)
        padded = np.full((len(ids), max(1, int(lengths.max()))), self.settings["pad"], np.int64)
        for row, item in enumerate(ids):
            padded[row, : len(item)] = item
        mask = np.arange(padded.shape[1]) < lengths[:, None]
        feeds: dict[str, Any] = {}
        for name, kind in self.inputs.items():
            feeds[name] = _FEEDS[name](padded, lengths, mask).astype(kind, copy=False)
        found = np.asarray(self.session.run([self.output], feeds)[0], np.float32)
        if found.ndim == 3:
            found = _pool(found, mask, lengths, self.settings["pooling"])
        if found.shape != (len(ids), self.dimensions) or not np.isfinite(found).all():
            raise ValueError(f"the graph made {found.shape} of {len(ids)} texts, or no numbers")
        return _unit(found)


def load_model(model_file_name: str | None = None) -> Model:  # noqa: ARG001 - ADS's signature
    """The model, loaded once in a process; the argument is ADS's, and means nothing here."""
    with _lock:
        if "model" not in _loaded:
            _loaded["model"] = Model(FOLDER)
        return _loaded["model"]


def predict(data: Any, model: Model | None = None) -> dict[str, Any]:
    """OpenAI's answer to OpenAI's request, which is a dict or its JSON; never raises."""
    try:
        return _answer(data, model or load_model())
    except Refusal as refusal:
        return _error(str(refusal), "invalid_request_error", refusal.param, refusal.code)
    except Exception as error:  # the last resort: see above
        log.exception("a request failed")
        return _error(f"{type(error).__name__}: {error}"[:500], "server_error", None, None)


def _answer(data: Any, model: Model) -> dict[str, Any]:
    body = _body(data)
    texts = _texts(body.get("input"))
    form = body.get("encoding_format") or "float"
    if form not in ("float", "base64"):
        raise Refusal("encoding_format must be float or base64", "encoding_format")
    size = _size(body.get("dimensions"), model)
    vectors, tokens = model.embed(texts)
    if size != model.dimensions:
        vectors = _unit(vectors[:, :size])
    items = [
        {"object": "embedding", "embedding": _written(row, form), "index": index}
        for index, row in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": items, "model": model.name, "usage": usage}


def _body(data: Any) -> dict[str, Any]:
    if isinstance(data, (str, bytes, bytearray)):
        try:
            data = json.loads(data)
        except ValueError:
            raise Refusal("the body is not JSON", "input") from None
    if not isinstance(data, dict):
        raise Refusal("the body must be an object with input", "input")
    return data


def _texts(value: Any) -> list[str]:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not texts:
        raise Refusal("input must be a text, or a list of one text or more", "input")
    if len(texts) > MOST_TEXTS:
        raise Refusal(f"input has {len(texts)} texts, at most {MOST_TEXTS} are taken", "input")
    for place, text in enumerate(texts):
        if isinstance(text, (int, list)):
            raise Refusal(
                "input holds token ids, which another tokenizer has made; send texts "
                "(langchain-openai: check_embedding_ctx_length=False)",
                "input",
            )
        if not isinstance(text, str):
            raise Refusal(f"input[{place}] is not a text", "input")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refusal(f"input[{place}] holds half of a character", "input") from None
    return texts


def _size(value: Any, model: Model) -> int:
    if value is None or value == model.dimensions:
        return model.dimensions
    sizes = model.settings["matryoshka"]
    if isinstance(value, bool) or value not in sizes:
        known = ", ".join(map(str, [*sizes, model.dimensions]))
        raise Refusal(f"dimensions={value!r}: the model was trained for {known}", "dimensions")
    return int(value)


def _written(row: np.ndarray, form: str) -> str | list[float]:
    if form == "base64":
        return base64.b64encode(row.astype("<f4").tobytes()).decode()
    # Nine digits are a float32 exactly; a double's seventeen would double the answer.
    return [float(f"{number:.9g}") for number in row.tolist()]


def _error(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _batches(ids: list[list[int]], budget: int) -> list[list[int]]:
    """Texts of like length together, so that little is padding."""
    order = sorted(range(len(ids)), key=lambda place: -len(ids[place]))
    found, start = [], 0
    while start < len(order):
        rows = max(1, budget // max(1, len(ids[order[start]])))
        found.append(order[start : start + rows])
        start += rows
    return found


def _pool(tokens: np.ndarray, mask: np.ndarray, lengths: np.ndarray, how: str) -> np.ndarray:
    """One vector a text, float32 (n, hidden), of (n, length, hidden) padded on the right."""
    if how == "cls":
        return np.asarray(tokens[:, 0])
    if how == "last":
        return np.asarray(tokens[np.arange(len(tokens)), np.maximum(lengths, 1) - 1])
    weights = mask.astype(np.float32)[:, :, None]
    return np.asarray((tokens * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(length, 1e-12), np.float32)


# By the name of the graph's input, of the padded ids, their lengths, and where there is a token.
_FEEDS: dict[str, Callable[..., Any]] = {
    "ids": lambda *given: given[0],
    "lengths": lambda *given: given[1],
    "input_ids": lambda *given: given[0],
    "attention_mask": lambda *given: given[2],
    "token_type_ids": lambda *given: np.zeros_like(given[0]),
    "position_ids": lambda *given: np.broadcast_to(np.arange(given[0].shape[1]), given[0].shape),
}
_KINDS = {
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
}


def _kind(item: Any) -> Any:
    if item.name not in _FEEDS or item.type not in _KINDS:
        raise ValueError(f"the graph wants {item.name} ({item.type}), which no tokenizer gives")
    return _KINDS[item.type]


def _output(session: onnxruntime.InferenceSession) -> str:
    """The pooled vectors where there are some, else the tokens' vectors, by name and rank."""
    ranks: dict[str, int] = {item.name: len(item.shape) for item in session.get_outputs()}
    for name in ("sentence_embedding", "last_hidden_state", "token_embeddings"):
        if name in ranks:
            return name
    for rank in (3, 2):
        for name, found in ranks.items():
            if found == rank:
                return name
    raise ValueError(f"the graph has no vectors among its outputs: {', '.join(ranks)}")


def _session(graph: Path) -> onnxruntime.InferenceSession:
    """On CUDA where it works, else on the processor."""
    options = onnxruntime.SessionOptions()
    # The server starts several processes, each with a model of its own.
    workers = max(1, int(os.environ.get("WEB_CONCURRENCY") or 1))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    options.intra_op_num_threads = max(1, (cores or 1) // workers)
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        # Since 1.21 it finds CUDA's libraries in packages of their own.
        getattr(onnxruntime, "preload_dlls", lambda: None)()
        options.log_severity_level = 4  # where CUDA is missing, that is told below
        both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
        try:
            # Not its own way to fall back, which tells nobody, and forgets the options.
            return onnxruntime.InferenceSession(
                str(graph), options, providers=both, enable_fallback=0
            )
        except Exception as error:  # noqa: BLE001 - its exceptions share no public class
            log.warning("CUDA cannot be used: %s", error)
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
