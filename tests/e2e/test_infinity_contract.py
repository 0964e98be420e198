"""What the real infinity says is what our golden files hold, and its refusals become our errors."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from doubles.infinity_gateway import InfinityGateway, infinity_gateway
from doubles.infinity_process import KEY, OTHER, SERVED, InfinityProcess
from embedway_upstream.engines.infinity import Infinity
from embedway_upstream.engines.probe import Facts

GOLDEN = Path(__file__).parents[1] / "contract" / "infinity"
DIARY = "my secret diary"
# A busy queue and a failure cannot be asked for; the last three are of what stands in front.
NOT_ASKED_FOR = {
    "overloaded",
    "internal",
    "a gateway in between, scaled to zero",
    "a gateway in between, of HTML",
    "a gateway in between, too late",
}
# Of the single-model server unless a URL is named.
BODIES: dict[str, object] = {
    "dimensions": {"input": ["a"], "dimensions": 999},
    "empty list": {"input": []},
    "too many texts": {"input": [DIARY] * 2049},
    "too many characters": {"input": [DIARY * 8193]},
    "token ids": {"input": [[101, 7592, 102]]},
    "null dimensions": {"input": ["a"], "dimensions": None},
    "null encoding_format": {"input": ["a"], "encoding_format": None},
    "modality": {"input": [DIARY], "modality": "video"},
}


@pytest.fixture(scope="module")
def gateway(infinity: InfinityProcess) -> Iterator[InfinityGateway]:
    with infinity_gateway(infinity) as running:
        yield running


def cases(stem: str) -> dict[str, Any]:
    every = json.loads((GOLDEN / f"{stem}.json").read_text("utf-8"))["cases"]
    return {case["name"]: case for case in every}


def provoke(infinity: InfinityProcess, name: str) -> httpx.Response:
    """Make the server say what the golden case of this name is about."""
    plain, keyed = infinity.plain, infinity.keyed
    bearer = {"authorization": f"Bearer {KEY}"}
    if name in BODIES:
        return httpx.post(f"{plain}/embeddings", json=BODIES[name], timeout=60)
    match name:
        case "unknown model":
            body = {"input": ["a"], "model": "nope"}
            return httpx.post(f"{keyed}/embeddings", json=body, headers=bearer)
        case "a model of another kind":
            body = {"query": "a", "documents": ["b"], "model": SERVED}
            return httpx.post(f"{plain}/rerank", json=body)
        case "key":
            return httpx.post(f"{keyed}/embeddings", json={"input": ["a"]})
        case "route":
            return httpx.post(f"{infinity.root}/embeddings", json={"input": ["a"]})
        case "method":
            return httpx.get(f"{plain}/embeddings")
        case "bad JSON":
            json_ = {"content-type": "application/json"}
            return httpx.post(f"{plain}/embeddings", content=b'{"input":x', headers=json_)
        case "content type":
            text = {"content-type": "text/plain"}
            content = json.dumps({"input": [DIARY]}, separators=(",", ":")).encode()
            return httpx.post(f"{plain}/embeddings", content=content, headers=text)
    raise AssertionError(f"nothing asks for {name!r}")


def shortened(said: Any) -> Any:
    """With at most three items in an echoed list, and of an echoed text its first words."""
    match said:
        case dict():
            return {key: shortened(value) for key, value in said.items()}
        case list():
            most = 3 if said[:1] == [DIARY] else None
            return [shortened(item) for item in said[:most]]
        case str() if len(said) > 10 * len(DIARY) and said.startswith(DIARY):
            return DIARY
    return said


@pytest.mark.parametrize("name", sorted(cases("errors").keys() - NOT_ASKED_FOR))
def test_a_golden_error_is_what_the_server_says(infinity: InfinityProcess, name: str) -> None:
    case = cases("errors")[name]

    said = provoke(infinity, name)

    assert case["status"] == said.status_code
    assert case["body"] == shortened(said.json())
    assert case.get("headers", {}).items() <= dict(said.headers).items()


def test_golden_replies_have_the_servers_fields(infinity: InfinityProcess) -> None:
    golden = cases("embeddings")
    body = {"input": ["abc"], "model": "is ignored by a server of one"}

    for name, encoding in {"base64; usage counts characters": "base64", "floats": "float"}.items():
        wanted = golden[name]["body"]
        said = httpx.post(
            f"{infinity.plain}/embeddings", json={**body, "encoding_format": encoding}
        ).json()
        assert wanted.keys() == said.keys()
        assert wanted["data"][0].keys() == said["data"][0].keys()
        assert wanted["usage"] == said["usage"], "characters"
        assert type(wanted["data"][0]["embedding"]) is type(said["data"][0]["embedding"])
        assert SERVED == said["model"]


def test_base64_is_the_same_vector_as_floats(infinity: InfinityProcess) -> None:
    def ask(encoding: str) -> Any:
        body = {"input": [DIARY], "model": SERVED, "encoding_format": encoding}
        answer = httpx.post(f"{infinity.plain}/embeddings", json=body).json()
        return answer["data"][0]["embedding"]

    packed = np.frombuffer(base64.b64decode(ask("base64")), "<f4")

    assert (384,) == packed.shape
    np.testing.assert_allclose(packed, ask("float"), rtol=0, atol=1e-6)


def test_the_probe_tells_names_and_capabilities(infinity: InfinityProcess) -> None:
    bearer = {"authorization": f"Bearer {KEY}"}
    for url, prefix, names in (
        (infinity.plain, "", (SERVED,)),
        (infinity.root, "v1", (SERVED, OTHER)),
    ):
        engine = Infinity(prefix=prefix)
        [probe] = engine.probes
        said = httpx.get(url + probe.path, headers=bearer)
        facts = probe.read(said.content)

        assert Facts(models=names, capabilities=("embed",)) == facts
        assert cases("embeddings")["models"]["body"]["data"][0].keys() == (
            said.json()["data"][0].keys()
        )
        assert 200 == httpx.get(url + engine.ready).status_code
        assert 404 == httpx.get(f"{url}/v1{engine.ready}").status_code


def test_fewer_dimensions_are_cut_here_because_infinity_does_not_normalise(
    infinity: InfinityProcess, gateway: InfinityGateway
) -> None:
    body = {"input": ["a harbour"], "dimensions": 128}
    theirs = httpx.post(f"{infinity.plain}/embeddings", json=body).json()["data"][0]["embedding"]
    ours = gateway.post("/embeddings", model="plain", **body).json()["data"][0]["embedding"]

    assert np.linalg.norm(theirs) < 0.9
    np.testing.assert_allclose(ours, theirs / np.linalg.norm(theirs), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "part"),
    [
        ("of another name", "set `model:`"),
        ("without its key", "`credentials:`"),
        ("with a wrong key", "`credentials:`"),
        ("without its prefix", "`url:` and `path:`"),
        ("of other dimensions", "384"),
    ],
)
def test_a_refusal_names_the_cure_and_nothing_of_the_callers(
    gateway: InfinityGateway, model: str, part: str
) -> None:
    answer = gateway.post("/embeddings", model=model, input=[DIARY])

    assert 502 == answer.status_code
    assert part in answer.json()["error"]["message"]
    assert "diary" not in answer.text
    assert SERVED not in answer.text
    assert "127.0.0.1" not in answer.text


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({"input": [DIARY] * 2049}, "2048"),
        ({"input": [DIARY * 8193]}, "longer"),
        ({"input": []}, "empty"),
        ({"input": [[101, 7592, 102]]}, "check_embedding_ctx_length=False"),
        ({"input": [DIARY], "dimensions": 999}, "dimensions"),
    ],
)
def test_what_the_caller_did_wrong_is_a_400_without_an_echo(
    gateway: InfinityGateway, body: dict[str, object], part: str
) -> None:
    answer = gateway.post("/embeddings", model="plain", **body)

    assert 400 == answer.status_code
    assert part in answer.json()["error"]["message"]
    assert "diary" not in answer.text


def test_a_model_that_does_not_rerank_is_told_clearly(gateway: InfinityGateway) -> None:
    answer = gateway.post("/rerank", model="no reranker", query=DIARY, documents=["a", "b"])

    assert 502 == answer.status_code
    assert "a model of another kind" in answer.json()["error"]["message"]
    assert "diary" not in answer.text
