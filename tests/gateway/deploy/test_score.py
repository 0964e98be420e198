"""The score.py that is deployed, in a Python that has what the conda environment has."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from doubles.bert_export import export
from doubles.conda_environment import conda_python
from doubles.oci_deployed import CONDA
from doubles.oci_identity import write_api_key
from doubles.score_process import ScoreProcess
from doubles.score_service import load
from doubles.tiny_bert import write_tiny_bert
from embedway_deploy.error import DeployError, WrongVectors
from embedway_deploy.onnx.artifact import Conda, prepare
from embedway_deploy.onnx.plan import plan_onnx
from embedway_deploy.onnx.verify import verify_onnx
from embedway_deploy.order import Order
from embedway_deploy.plan import OCIPlace
from embedway_deploy.step import Check, Proof, Shape
from embedway_local import LocalEmbedder, Store, embedway_home
from embedway_local.checkpoint import read_checkpoint
from embedway_local.source.find import BUILDABLE, find

REFERENCE = Path(__file__).parents[2] / "local_runtime" / "reference"
CLOSE = {"rtol": 0, "atol": 1e-5}


def made(folder: Path, model: str, **more: Any) -> Path:
    checkpoint = find(model, Store(embedway_home()), pooling=more.pop("pooling", None))
    prepare(checkpoint, folder, name="minilm", conda=Conda(CONDA), home=embedway_home(), **more)
    return folder


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory, model_in_store: str) -> Path:
    return made(tmp_path_factory.mktemp("score") / "artifact", model_in_store)


@pytest.fixture(scope="module")
def score(artifact: Path) -> Iterator[ScoreProcess]:
    with ScoreProcess(artifact, conda_python()) as process:
        yield process


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EMBEDWAY_HOME", str(tmp_path / "home"))
    return write_tiny_bert(tmp_path / "tiny")


def vectors(answer: Any) -> Any:
    return np.array([item["embedding"] for item in answer["data"]])


def test_its_vectors_are_the_references(score: ScoreProcess) -> None:
    texts = json.loads((REFERENCE / "texts.json").read_text("utf-8"))

    answer = score.predict({"input": texts, "model": "minilm"})

    np.testing.assert_allclose(vectors(answer), np.load(REFERENCE / "vectors.npy"), **CLOSE)
    assert list(range(len(texts))) == [item["index"] for item in answer["data"]]


def test_it_needs_nothing_of_ours(score: ScoreProcess) -> None:
    wanted = {"numpy", "onnxruntime", "tokenizers"}

    assert wanted <= score.modules
    assert set() == {name for name in score.modules if "embedway" in name or name == "transformers"}


def test_usage_counts_tokens_without_padding(score: ScoreProcess) -> None:
    usage = score.predict({"input": ["a", "b c d e f"]})["usage"]

    assert {"prompt_tokens": 10, "total_tokens": 10} == usage


def test_long_texts_are_cut(score: ScoreProcess) -> None:
    usage = score.predict({"input": "word " * 5000})["usage"]

    assert 256 == usage["total_tokens"]


def test_base64_holds_the_same_numbers(score: ScoreProcess) -> None:
    body = {"input": ["one", "another text"]}
    based = score.predict({**body, "encoding_format": "base64"})

    rows = [np.frombuffer(base64.b64decode(i["embedding"]), "<f4") for i in based["data"]]
    assert np.array_equal(np.array(rows), vectors(score.predict(body)).astype(np.float32))


def test_floats_are_short(score: ScoreProcess) -> None:
    written = json.dumps(score.predict({"input": "one"})["data"][0]["embedding"])

    assert len(written) / 384 < 17


@pytest.mark.parametrize(
    ("body", "words", "param"),
    [
        ({"input": [101, 2023, 102]}, "token ids", "input"),
        ({"input": [[101, 102], [101, 102]]}, "token ids", "input"),
        ({"input": []}, "a list of one text or more", "input"),
        ({}, "a list of one text or more", "input"),
        ({"input": None}, "a list of one text or more", "input"),
        ({"input": ["a", None]}, r"input[1] is not a text", "input"),
        ({"input": "\ud800"}, "half of a character", "input"),
        ({"input": ["x"] * 2049}, "at most 2048", "input"),
        ({"input": "x", "encoding_format": "hex"}, "float or base64", "encoding_format"),
        ({"input": "x", "dimensions": 128}, "the model was trained for 384", "dimensions"),
        ({"input": "x", "dimensions": True}, "the model was trained for 384", "dimensions"),
        ([1, 2], "must be an object", "input"),
        ("{", "not JSON", "input"),
    ],
)
def test_mistakes_are_answered_not_raised(
    score: ScoreProcess, body: Any, words: str, param: str
) -> None:
    error = score.predict(body)["error"]

    assert words in error["message"]
    assert ("invalid_request_error", param, None) == (error["type"], error["param"], error["code"])


@pytest.mark.parametrize(
    "more",
    [{}, {"user": None}, {"encoding_format": None}, {"dimensions": None}, {"dimensions": 384}],
)
def test_what_openai_takes_is_taken(score: ScoreProcess, artifact: Path, more: Any) -> None:
    body = {"input": ["", "x"], **more}

    assert (2, 384) == vectors(score.predict(body)).shape
    assert (2, 384) == vectors(score.predict(json.dumps(body))).shape
    jsonschema.validate(body, json.loads((artifact / "request-schema.json").read_text()))


def test_the_schema_refuses_what_score_refuses(artifact: Path) -> None:
    schema = json.loads((artifact / "request-schema.json").read_text())

    for body in ({"input": []}, {"input": [1]}, {}, {"input": "x", "encoding_format": "hex"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(body, schema)


@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
def test_an_export_of_the_users_is_pooled_and_normalised(
    tiny: Path, tmp_path: Path, pooling: Any
) -> None:
    graph = tmp_path / "mine.onnx"
    export(tiny, graph)
    folder = made(tmp_path / "artifact", str(tiny), graph=graph, pooling=pooling)
    texts = ["the car", "Two short words . the word", "word"]
    with LocalEmbedder(tiny, pooling=pooling) as local:
        wanted = local.embed(texts)

    found = vectors(load(folder).predict({"input": texts}))

    np.testing.assert_allclose(found, wanted, **CLOSE)
    assert (folder / "model.onnx").read_bytes() == graph.read_bytes(), "as it is"


def test_trained_dimensions_are_cut_and_of_unit_length(tiny: Path, tmp_path: Path) -> None:
    folder = made(tmp_path / "artifact", str(tiny), matryoshka=(8, 16))
    score = load(folder)

    whole = vectors(score.predict({"input": "the car"}))
    cut = vectors(score.predict({"input": "the car", "dimensions": 8}))

    wanted = whole[:, :8] / np.linalg.norm(whole[:, :8])
    np.testing.assert_allclose(cut, wanted, **CLOSE)
    assert "8, 16, 24" in score.predict({"input": "x", "dimensions": 9})["error"]["message"]


def test_it_loads_once_and_serves_many_threads(tiny: Path, tmp_path: Path) -> None:
    score = load(made(tmp_path / "artifact", str(tiny)))
    with ThreadPoolExecutor(8) as pool:
        loaded = set(pool.map(lambda _: id(score.load_model()), range(32)))
        bodies = [{"input": ["the car"] * (1 + i % 3)} for i in range(64)]
        rows = [vectors(one)[0] for one in pool.map(score.predict, bodies)]

    assert 1 == len(loaded)
    np.testing.assert_allclose(rows, [rows[0]] * 64, **CLOSE)


def test_a_fault_is_answered_as_one(tiny: Path, tmp_path: Path) -> None:
    score = load(made(tmp_path / "artifact", str(tiny)))
    score.load_model().session = None

    error = score.predict({"input": "x"})["error"]

    assert "server_error" == error["type"]


def test_the_same_model_makes_the_same_files(tiny: Path, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(tiny, buildable=BUILDABLE)
    digests = {
        prepare(
            checkpoint, tmp_path / name, name="m", conda=Conda(CONDA), home=tmp_path / "home"
        ).digest
        for name in ("one", "other")
    }

    assert 1 == len(digests)


def test_verify_compares_with_the_local_runtime(tiny: Path, tmp_path: Path) -> None:
    folder = made(tmp_path / "artifact", str(tiny))

    found = verify_onnx(folder, str(tiny), max_tokens=20, python=str(conda_python()))

    assert found.worst > 0.999999
    settings = json.loads((folder / "embedway.json").read_text())
    (folder / "embedway.json").write_text(json.dumps({**settings, "lowercase": True}))
    with pytest.raises(WrongVectors, match="other vectors than the local runtime"):
        verify_onnx(folder, str(tiny), max_tokens=20)
    (folder / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(DeployError, match=r"(?s)cannot be run:.*INVALID_PROTOBUF"):
        verify_onnx(folder, str(tiny), max_tokens=20)


def test_verify_notices_vectors_that_are_no_numbers(tiny: Path, tmp_path: Path) -> None:
    """Of a score.py that somebody has written; ours answers an error instead."""
    folder = made(tmp_path / "artifact", str(tiny))
    (folder / "score.py").write_text(
        "def load_model():\n    return None\n\n"
        "def predict(data, model):\n"
        "    texts = [data['input']] if isinstance(data['input'], str) else data['input']\n"
        "    if not texts or isinstance(texts[0], int):\n        return {'error': {}}\n"
        "    return {'data': [{'embedding': [float('nan')] * 24}] * len(texts)}\n"
    )

    with pytest.raises(WrongVectors, match="the worst cosine is nan"):
        verify_onnx(folder, str(tiny), max_tokens=20)


def test_the_agreement_that_is_asked_for(tiny: Path, tmp_path: Path) -> None:
    place = OCIPlace(region="r", compartment_id="c", project_id="p")
    order = Order(model=str(tiny), place=place, shape=Shape(name="VM.GPU.A10.1"), home=tmp_path)

    plan = plan_onnx(order, conda=Conda(CONDA), agreement=0.97)

    steps = [step for step in plan.steps if isinstance(step, Proof | Check)]
    assert [0.97, 0.97] == [step.agreement for step in steps]


def test_ads_verifies_and_introspects_it(artifact: Path, tmp_path: Path) -> None:
    """`GenericModel` as the guide uses it, on the folder as it is."""
    program = """
import json, sys, warnings
warnings.simplefilter("ignore")
import ads
ads.set_auth("api_key", oci_config_location=sys.argv[2])
from ads.model.generic_model import GenericModel
model = GenericModel.from_model_artifact(
    uri=sys.argv[1], artifact_dir=sys.argv[1], model_file_name="model.onnx",
    force_overwrite=True,
)
answer = model.verify({"input": ["the car"], "model": "m"}, auto_serialize_data=False)
model.reload_runtime_info()
model.introspect()
told = {"vector": answer["data"][0]["embedding"], "status": str(model._introspect.status),
        "python": model.runtime_info.model_deployment.inference_conda_env.inference_python_version}
print(json.dumps(told))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(artifact), str(write_api_key(tmp_path))],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 0 == done.returncode, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert 384 == len(told["vector"])
    assert "3.11" == told["python"]
    assert "NOT_PASSED" not in told["status"].upper().replace(" ", "_"), told
