"""
Whatever bytes an engine answers, its decoder gives as many rows as were asked for, each where it
belongs, or an error of ours. `EMBEDWAY_EXAMPLES` is how many are tried.
"""

from __future__ import annotations

import base64
import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.mangled import examples, json_values, mangled, read_all
from embedway_upstream import BadReply, EmbeddingError, EmbeddingRequest, RerankRequest
from embedway_upstream.check import check, check_rerank
from embedway_upstream.engines.chat import chat_error
from embedway_upstream.engines.engine import Reranker
from embedway_upstream.engines.onnx import Onnx
from embedway_upstream.engines.probe import Facts, Probe
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.testing import fake_vectors

TEXTS = ("planted one", "planted two", "planted three")
VECTORS = fake_vectors(list(TEXTS), 4)
ASKED = EmbeddingRequest("m", TEXTS)
RANKED = RerankRequest("m", "query", TEXTS, top_n=2)
USAGE = {"prompt_tokens": 3, "total_tokens": 3}


def written(vector: Any, form: str) -> Any:
    return base64.b64encode(vector.tobytes()).decode() if form == "base64" else vector.tolist()


def openai_reply(form: str) -> dict[str, Any]:
    data = [
        {"object": "embedding", "index": index, "embedding": written(vector, form)}
        for index, vector in enumerate(VECTORS)
    ]
    return {"object": "list", "data": data, "model": "m", "usage": USAGE}


REPLIES: list[Any] = [
    openai_reply("base64"),
    openai_reply("floats"),
    {"embeddings": VECTORS.tolist()},
    {"prediction": [[vector.tolist()] * 2 for vector in VECTORS]},
]
RANKINGS: list[Any] = [
    [{"index": index, "score": 0.5 - index / 10} for index in range(3)],
    {"results": [{"index": n, "relevance_score": n / 10} for n in range(3)], "usage": USAGE},
]
ERRORS: list[Any] = [
    {"error": {"message": "maximum context length is 512", "type": "t", "code": "c", "param": "p"}},
    {"error": "batch size 9 > maximum allowed batch size 8", "error_type": "Validation"},
    {"message": "m", "type": "t", "code": 400, "detail": [{"type": "missing", "input": "x"}]},
]
DECODERS: dict[str, Any] = {name: make(Options()) for name, make in ENGINES.items()}
DECODERS["onnx, cls"] = Onnx(pooling="cls")
DECODERS["onnx, mean"] = Onnx(pooling="mean")


def bodies(good: list[Any]) -> st.SearchStrategy[bytes]:
    dumped = json_values().map(lambda value: json.dumps(value).encode())
    return st.one_of(*map(mangled, good), *map(mangled, good), dumped, st.binary(max_size=300))


def require_discreet(error: EmbeddingError) -> None:
    assert error.message
    assert "planted" not in error.message + error.detail


@pytest.mark.parametrize("name", DECODERS)
def test_a_decoder_gives_the_right_rows_or_an_error_of_ours(name: str) -> None:
    engine = DECODERS[name]

    @examples()
    @given(bodies(REPLIES))
    def whatever(body: bytes) -> None:
        try:
            response = check(engine.decode(body, ASKED), ASKED, 4)
        except EmbeddingError as error:
            require_discreet(error)
            return
        assert (3, 4) == response.vectors.shape
        assert np.float32 == response.vectors.dtype
        assert np.isfinite(response.vectors).all()
        assert 0 <= response.usage.prompt_tokens <= response.usage.total_tokens
        for index, row in enumerate(rows_of(read_all(body))):
            # Of each text the vector that was sent for it, to the last bit.
            if row is not None and not name.startswith("onnx, "):
                assert row.tobytes() == response.vectors[index].tobytes()

    whatever()


def rows_of(sent: Any) -> list[Any]:
    """The vectors by index, read in another way than the engines do."""
    if not isinstance(sent.get("data"), list):
        return []
    rows: list[Any] = [None] * 3
    for item in sent["data"]:
        one = item["embedding"]
        with np.errstate(over="ignore"):
            rows[item["index"]] = (
                np.array(one, np.float32)
                if isinstance(one, list)
                else np.frombuffer(base64.b64decode(one), "<f4")
            )
    return rows


@pytest.mark.parametrize("name", [n for n, e in DECODERS.items() if hasattr(e, "decode_rerank")])
def test_a_ranking_is_whole_or_an_error_of_ours(name: str) -> None:
    engine: Reranker = DECODERS[name]

    @examples()
    @given(bodies(RANKINGS))
    def whatever(body: bytes) -> None:
        try:
            response = check_rerank(engine.decode_rerank(body, RANKED), RANKED)
        except EmbeddingError as error:
            require_discreet(error)
            return
        sent = read_all(body)
        items = sent if isinstance(sent, list) else sent["results"]
        scores = {item["index"]: item.get("score", item.get("relevance_score")) for item in items}
        assert sorted(scores) == [0, 1, 2]
        assert 2 == len(response.results)
        for result in response.results:
            assert scores[result.index] == result.relevance_score

    whatever()


@pytest.mark.parametrize("name", DECODERS)
def test_any_error_reply_is_an_error_of_ours(name: str) -> None:
    engine = DECODERS[name]
    waits = st.sampled_from(["", "3", "-1", "9" * 400, "Wed, 21 Oct 2099 07:28:00 GMT", "x", "٣"])

    @examples()
    @given(bodies(ERRORS), st.integers(100, 599), waits)
    def whatever(body: bytes, status: int, wait: str) -> None:
        headers = {"retry-after": wait} if wait else {}
        for error in (
            engine.error(status, headers, body),
            chat_error(status, headers, body),
            engine.chat_error(status, headers, body),
        ):
            assert isinstance(error, EmbeddingError)
            assert error.message
            assert error.retry_after is None or 0 <= error.retry_after <= 86_400

    whatever()


@pytest.mark.parametrize("name", DECODERS)
def test_what_an_engine_tells_of_itself_is_read_or_not(name: str) -> None:
    engine = DECODERS[name]
    told: list[Any] = [
        {"data": [{"id": "m", "max_model_len": 512, "root": "r", "stats": {}}]},
        {
            "model_id": "m",
            "version": "1.9",
            "model_type": {"embedding": {"pooling": "cls"}},
            "max_concurrent_requests": 512,
            "max_input_length": 512,
            "max_client_batch_size": 32,
        },
        {"version": "0.10"},
        {"m": {"model_version_status": [{"version": "1", "state": "AVAILABLE"}]}},
    ]
    for probe in engine.probes:

        @examples()
        @given(st.just(probe), bodies(told))
        def whatever(probe: Probe, body: bytes) -> None:
            with contextlib.suppress(BadReply):
                assert isinstance(probe.read(body), Facts)

        whatever()
