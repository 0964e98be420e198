"""The dialect of a `score.py` that runs an ONNX model on OCI Data Science."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from embedway_upstream.embedding import EmbeddingRequest, EmbeddingResponse
from embedway_upstream.engines.accent import Accent
from embedway_upstream.engines.complaint import complaint
from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.usage import Told, counted
from embedway_upstream.engines.vector import numbered, row, stack, why
from embedway_upstream.engines.verdict import (
    Finding,
    Rule,
    defect,
    empty,
    failed,
    invalid,
    judge,
    misunderstood,
    too_long,
)
from embedway_upstream.error import BadReply, EmbeddingError, UpstreamRefused

__all__ = ["Onnx", "Pooling"]

Pooling: TypeAlias = Literal["cls", "mean"]
_Numbers: TypeAlias = list[float | list[float]]


class _Body(msgspec.Struct):
    model: str
    input: tuple[str, ...]


class _Item(msgspec.Struct):
    index: int
    embedding: str | _Numbers


class _Reply(msgspec.Struct):
    data: list[_Item] | None = None
    embeddings: list[_Numbers] | None = None
    prediction: list[_Numbers] | None = None
    usage: Told | None = None

    def items(self) -> list[_Item] | None:
        """The vectors in any of the three shapes, None where there is none."""
        if self.data is not None:
            return self.data
        rows = self.prediction if self.embeddings is None else self.embeddings
        return None if rows is None else [_Item(index, one) for index, one in enumerate(rows)]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Reply).decode

_CURE = (
    "the upstream's score.py gives a vector for every token and not for every text; deploy one "
    "that pools, or set `pooling:` of the upstream to the model's own (cls or mean)"
)

# What comes unpooled is long: a text of 512 tokens and 384 dimensions is 4.1 MB of JSON. Four with
# 1,024 dimensions, 44 MB, still pass in a minute the 10 Mbps that a load balancer has by default on
# OCI; 32 would be 353 MB, more than any reply may have. A pooled reply is short, but a processor
# takes 5 s for 32 texts of 512 tokens, and OCI waits 60.
_MOST: Mapping[Pooling | None, int] = MappingProxyType({None: 32, "cls": 4, "mean": 1})


def _unfit(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream's tokenizer does not fit its model; deploy its score.py with the tokenizer "
        "files and the graph of one and the same model",
        detail=found.detail,
    )


class Onnx(Accent):
    """
    `pooling` None refuses what is not pooled. `cls` takes the first token's vector, `mean` the
    mean over the tokens; both are then normalised. The rows of a batch are padded to its longest
    text and the mask is not given back, so that a mean is only right of a text sent alone:
    `limits.max_inputs` is then 1. A vector that comes pooled is left as it is.

    Shapes: OpenAI's, `{"embeddings": [...]}` and `{"prediction": [...]}` (ADS's templates). Only
    floats are asked for, because the template checks `encoding_format` and then ignores it.

    Every mistake is an exception, which the platform answers with 500: only its text tells a
    request that can never pass from a fault. What is not recognised is not tried again. The texts
    are those of onnxruntime 1.31, tokenizers 0.23, transformers 5.23 and jsonschema 4.26.
    """

    path = "/predict"
    probes = ()

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(empty, says=r"\[\] is valid under each of"),
        Rule(misunderstood, says="JSON is invalid"),
        Rule(invalid, says="text input must be of type|TextEncodeInput must be"),
        Rule(failed, says="allocate memory|bad_alloc|out of memory"),
        Rule(failed, says="(CUDA|CUBLAS|CUDNN) failure"),
        # An input of the graph that the tokenizer does not give is None, which a node then meets.
        Rule(_unfit, says="ONNXRuntimeError.* Missing Input|missing from input feed"),
        # A table of 20,000 rows is one of words, of which the tokenizer knows more than the model.
        Rule(_unfit, says=r"indices element out of .* range \[-([2-9]\d|\d{3,})\d{3},"),
        # The sum with the table of positions, which is as long as the model's longest text; the
        # smaller of the two is named first.
        Rule(too_long, says=r"ONNXRuntimeError.* broadcast an axis .*\. (?P<limit>\d+) by \d"),
        Rule(too_long, says=r"ONNXRuntimeError.* running (Add|Gather|Expand|Where) node"),
        Rule(too_long, says=r"ONNXRuntimeError.*(indices element out of|broadcast)"),
        # The embeddings and their sum in one node, as onnxruntime's optimizer writes them.
        Rule(too_long, says=r"ONNXRuntimeError.* EmbedLayerNormalization node.* out of range"),
        Rule(too_long, kind="context_length_exceeded"),
        Rule(invalid, kind="invalid_request_error"),
        Rule(defect, says="ONNXRuntimeError"),
        Rule(defect, statuses=frozenset({500})),
    )

    def __init__(self, *, model: str | None = None, pooling: Pooling | None = None) -> None:
        super().__init__(model=model)
        self._pooling: Pooling | None = pooling
        self.limits = Limits(max_inputs=_MOST[pooling])

    def encode(self, request: EmbeddingRequest) -> bytes:
        """The body of the request; the template requires `model`, and refuses nulls."""
        return _encode(_Body(self._model or request.model, request.inputs))

    def decode(self, body: bytes, request: EmbeddingRequest) -> EmbeddingResponse:
        """The vectors, pooled where that was set; an error that came with 200 is raised as such."""
        try:
            reply = _decode(body)
        except UNREADABLE as error:
            flawed = why(body, len(request.inputs), _CURE)
            flawed.detail = type(error).__name__
            raise flawed from None
        items = reply.items()
        if items is None:
            raise self._returned(body)
        count = len(request.inputs)
        rows = ((item.index, self._vector(item.embedding, count)) for item in items)
        return EmbeddingResponse(
            model=request.model,
            vectors=stack(numbered(rows, count)),
            usage=self.usage(counted(reply.usage), request),
            served_by="",
        )

    def _returned(self, body: bytes) -> EmbeddingError:
        said = complaint(body)
        if not said.text and not said.kinds:
            return BadReply("the upstream's reply is in none of the forms of a score.py")
        return judge(self.rules, 500, {}, body)

    def _vector(self, embedding: str | _Numbers, count: int) -> NDArray[np.float32]:
        if isinstance(embedding, str):
            return row(embedding)
        flat = [number for number in embedding if isinstance(number, float)]
        tokens = [row(one) for one in embedding if isinstance(one, list)]
        if not tokens:
            return row(flat)
        if flat:
            raise BadReply("the upstream gave numbers and lists in one vector")
        if self._pooling is None:
            raise BadReply(_CURE)
        if self._pooling == "mean" and count != 1:
            raise BadReply("the mean over tokens is only right of a text that was sent alone")
        return _pool(stack(tokens), self._pooling)


def _pool(tokens: NDArray[np.float32], pooling: Pooling) -> NDArray[np.float32]:
    # What is not finite stays so, and is found by the check of the reply.
    with np.errstate(all="ignore"):
        whole = tokens.astype(np.float64)
        vector: NDArray[np.float64] = whole[0] if pooling == "cls" else whole.mean(axis=0)
        vector /= max(float(np.linalg.norm(vector)), 1e-12)
    return vector.astype(np.float32)
