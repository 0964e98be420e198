"""Each engine's dialect against what the engines of each version say, as files beside this one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedway_upstream import error as tree
from embedway_upstream.check import check, check_rerank
from embedway_upstream.embedding import EmbeddingRequest, Usage
from embedway_upstream.engines.limit import Limits
from embedway_upstream.engines.probe import Facts
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.error import BadReply, EmbeddingError, InputTooLong, InvalidRequest
from embedway_upstream.rerank import RerankRequest, RerankResult

Case = dict[str, Any]
OURS = {"dimensions"}  # a field that the caller named
FILES = sorted(Path(__file__).parent.glob("*/*.json"))


def cases() -> Iterator[Any]:
    for path in FILES:
        for case in json.loads(path.read_text("utf-8"))["cases"]:
            name = f"{path.parent.name}/{path.stem}: {case['kind']}, {case['name']}"
            yield pytest.param(path.parent.name, case, id=name)


def engine_of(name: str, case: Case) -> Any:
    return ENGINES[name](Options(**case.get("options", {})))


def request_of(case: Case) -> EmbeddingRequest:
    extra = {key: case[key] for key in ("dimensions", "input_type") if key in case}
    return EmbeddingRequest("m", tuple(case["inputs"]), **extra)


def rerank_request_of(case: Case) -> RerankRequest:
    return RerankRequest("m", case["query"], tuple(case["documents"]), case.get("top_n"))


def body_of(case: Case) -> bytes:
    if "text" in case:
        return str(case["text"]).encode()
    return json.dumps(case["body"], ensure_ascii=False).encode()


def is_request(engine: Any, case: Case) -> None:
    assert json.loads(engine.encode(request_of(case))) == case["body"]
    assert engine.path == case.get("path", engine.path)


def is_reply(engine: Any, case: Case) -> None:
    request = request_of(case)
    response = engine.decode(body_of(case), request)

    assert check(response, request, len(case["vectors"][0])) is response
    assert response.vectors.dtype == np.float32
    np.testing.assert_allclose(response.vectors, np.array(case["vectors"], np.float32), rtol=1e-6)
    assert response.usage == Usage(*usage_of(case))
    assert response.model == "m"


def usage_of(case: Case) -> list[Any]:
    prompt, total, estimated = case["usage"]
    return [prompt, total, estimated]


def is_bad_reply(engine: Any, case: Case) -> None:
    with pytest.raises(BadReply) as caught:
        engine.decode(body_of(case), request_of(case))

    assert case["says"] in caught.value.message
    says_nothing_of(caught.value, case)


def is_rerank_request(engine: Any, case: Case) -> None:
    assert json.loads(engine.encode_rerank(rerank_request_of(case))) == case["body"]
    assert engine.rerank_path == case["path"]


def is_rerank_reply(engine: Any, case: Case) -> None:
    request = rerank_request_of(case)
    response = engine.decode_rerank(body_of(case), request)

    assert check_rerank(response, request) is response
    assert response.results == tuple(RerankResult(*result) for result in case["results"])
    assert response.usage == Usage(*usage_of(case))


def is_bad_rerank(engine: Any, case: Case) -> None:
    with pytest.raises(BadReply):
        engine.decode_rerank(body_of(case), rerank_request_of(case))


def is_error(engine: Any, case: Case) -> None:
    error = engine.error(case["status"], case.get("headers", {}), body_of(case))

    is_the_error(error, case)
    assert str(case["status"]) in error.detail


def is_returned_error(engine: Any, case: Case) -> None:
    with pytest.raises(EmbeddingError) as caught:
        engine.decode(body_of(case), request_of(case))

    is_the_error(caught.value, case)


def is_the_error(error: EmbeddingError, case: Case) -> None:
    assert type(error) is getattr(tree, case["error"])
    assert error.retryable is case.get("retryable", error.retryable)
    assert error.retry_after == case.get("retry_after")
    assert case.get("says", "") in error.message
    if isinstance(error, InputTooLong):
        assert error.limit == case.get("limit")
    if isinstance(error, InvalidRequest):
        assert error.param == case.get("param")
    says_nothing_of(error, case)


def says_nothing_of(error: EmbeddingError, case: Case) -> None:
    """No three words of the body in a row, nothing that it quotes, no address and no path."""
    theirs = body_of(case).decode().casefold()
    for ours in (error.message.casefold(), error.detail.casefold()):
        words = re.findall(r"\w+", ours)
        for start in range(len(words) - 2):
            three = r"\W+".join(words[start : start + 3])
            assert not re.search(rf"\b{three}\b", theirs), three
        for quoted in re.findall(r"[`'](\w[\w./-]{3,})[`']", theirs):
            assert quoted in OURS or quoted not in ours
        assert "://" not in ours
        assert not any(word in ours for word in case.get("never", []))


def is_probe(engine: Any, case: Case) -> None:
    (probe,) = (probe for probe in engine.probes if probe.path == case["path"])
    told = dict(case["facts"])
    limits = Limits(**told.pop("limits", {}))
    facts = {key: tuple(one) if isinstance(one, list) else one for key, one in told.items()}

    assert probe.read(body_of(case)) == Facts(limits=limits, **facts)
    for junk in (b"", b"null", b"[]", b'{"data":1}', b"\xff", b"[" * 10_000):
        with pytest.raises(BadReply):
            probe.read(junk)


KINDS = {
    "request": is_request,
    "reply": is_reply,
    "bad_reply": is_bad_reply,
    "error": is_error,
    "returned_error": is_returned_error,
    "rerank_request": is_rerank_request,
    "rerank_reply": is_rerank_reply,
    "bad_rerank": is_bad_rerank,
    "probe": is_probe,
}


@pytest.mark.parametrize(("name", "case"), [*cases()])
def test_the_dialect_is_the_engines(name: str, case: Case) -> None:
    KINDS[case["kind"]](engine_of(name, case), case)


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_file_says_where_it_is_from(path: Path) -> None:
    whole = json.loads(path.read_text("utf-8"))

    assert set(whole) == {"version", "source", "cases"}
    assert whole["version"]
    assert whole["source"]
    names = [(case["kind"], case["name"]) for case in whole["cases"]]
    assert len(names) == len(set(names))


def test_each_engine_has_its_files() -> None:
    told = {path.parent.name for path in FILES if path.stem == "errors"}

    assert told == set(ENGINES)
