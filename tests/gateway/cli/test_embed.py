from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from embedway_client import Client, EmbeddingResult
from embedway_gateway.bulk.encoder import Encoder
from embedway_gateway.cli.app import application
from embedway_local import ModelNotFound
from embedway_upstream import InputType, UpstreamFailed, Usage
from embedway_upstream.testing import fake_vectors

Run = Callable[..., Result]


class FakeClient:
    """Has `Client`'s signature as far as the command uses it; `made` holds what it was given."""

    made: list[dict[str, Any]]
    error: Exception | None
    fail_at: str | None

    def __init__(
        self, model: str, *, base_url: str, dimensions: int | None, precision: str
    ) -> None:
        given = {"model": model, "base_url": base_url, "dimensions": dimensions}
        self.made.append({**given, "precision": precision})
        if self.error is not None:
            raise self.error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def encode(self, texts: Sequence[str], *, input_type: InputType) -> EmbeddingResult:
        if self.fail_at in texts:
            raise UpstreamFailed("the upstream failed")
        vectors = fake_vectors([f"{input_type}: {text}" for text in texts], 4)
        return EmbeddingResult(vectors, Usage(len(texts), len(texts)), "vs1-a", fallback=False)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[FakeClient]:
    class Fresh(FakeClient):
        made: list[dict[str, Any]] = []  # noqa: RUF012
        error = None
        fail_at = None

    monkeypatch.setattr("embedway_client.Client", Fresh)
    return Fresh


@pytest.fixture
def run(client: type[FakeClient], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `embedway embed` in `tmp_path`, where `a.txt` has five texts."""
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("one\ntwo\nthree\nfour\nfive\n")

    def invoke(*arguments: str, stdin: str = "") -> Result:
        return CliRunner().invoke(application(), ["embed", *arguments], input=stdin)

    return invoke


def unboxed(text: str) -> str:
    """What stands in a box, on one line."""
    return " ".join(text.replace("│", " ").split())


def expected(*texts: str, input_type: str = "document") -> Any:
    return fake_vectors([f"{input_type}: {text}" for text in texts], 4)


def test_the_client_is_an_encoder() -> None:
    """The type checker compares the two, here as in the command."""
    encoder: Encoder = Client("m", base_url="local")

    assert callable(encoder.encode)


def test_a_file_becomes_vectors_and_a_sentence(run: Run, client: type[FakeClient]) -> None:
    result = run("a.txt", "--out", "out.npy")

    assert result.exit_code == 0
    assert np.array_equal(np.load("out.npy"), expected("one", "two", "three", "four", "five"))
    assert result.stderr.startswith("out.npy: 5 vectors of 4 numbers; 5 tokens in 0:00, ")
    assert result.stdout == ""
    assert client.made == [
        {
            "model": "sentence-transformers/all-MiniLM-L6-v2",
            "base_url": "local",
            "dimensions": None,
            "precision": "fp32",
        }
    ]


def test_options_reach_the_client(run: Run, client: type[FakeClient]) -> None:
    address = "http://127.0.0.1:1/v1"
    options = ["--model", "m", "--base-url", address, "--dimensions", "4", "--input-type", "query"]

    assert run("a.txt", "-o", "out.npy", *options).exit_code == 0
    given = {"model": "m", "base_url": address, "dimensions": 4, "precision": "fp32"}
    assert client.made == [given]
    assert np.array_equal(np.load("out.npy")[0], expected("one", input_type="query")[0])


@pytest.mark.parametrize(("asked", "given"), [("int8", "int8"), ("auto", "fp32")])
def test_the_precision_reaches_the_client(
    run: Run, client: type[FakeClient], asked: str, given: str
) -> None:
    assert run("a.txt", "-o", "out.npy", "--precision", asked).exit_code == 0
    assert client.made[0]["precision"] == given


def test_an_output_is_of_one_precision(run: Run, client: type[FakeClient]) -> None:
    client.fail_at = "five"
    run("a.txt", "-o", "out.npy", "--batch-size", "2")

    result = run("a.txt", "-o", "out.npy", "--batch-size", "2", "--resume", "--precision", "int8")

    assert result.exit_code == 1
    assert "--precision: fp32 then, int8 now" in result.stderr


def test_standard_input(run: Run) -> None:
    assert run("-", "-o", "out.npy", stdin="eins\nzwei\n").exit_code == 0
    assert np.array_equal(np.load("out.npy"), expected("eins", "zwei"))


def test_several_inputs_are_one_after_the_other(run: Run) -> None:
    Path("b.csv").write_text("body,n\nsix,6\n")
    Path("c.jsonl").write_text('{"body": "seven"}\n')

    assert run("b.csv", "c.jsonl", "-o", "out.npy", "--text-field", "body").exit_code == 0
    assert np.array_equal(np.load("out.npy"), expected("six", "seven"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["missing.txt", "-o", "out.npy"], "missing.txt: there is no such file"),
        (["a.txt", "-o", "out.csv"], "ends in .parquet, .jsonl or .npy"),
        (["a.txt", "-o", "no/out.npy"], "no: there is no such folder; make it first"),
        (["a.txt", "-o", "out.npy", "--keep"], "leave it out, or write .parquet or .jsonl"),
        (["a.txt", "-o", "a.txt"], "a.txt is an input; give another --out"),
        (["a.txt", "-o", "out.jsonl", "--id-field", "k"], "a.txt:1: no field 'k', only text"),
    ],
)
def test_a_refusal_is_one_message_and_leaves_nothing(
    run: Run, tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = run(*arguments)

    assert result.exit_code == 1
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_empty_texts_are_refused_or_skipped(run: Run) -> None:
    Path("b.txt").write_text("one\n\ntwo\n")

    assert "b.txt:2: the text is empty" in run("b.txt", "-o", "out.npy").stderr
    result = run("b.txt", "-o", "out.npy", "--skip-empty")

    assert "2 vectors of 4 numbers; 1 empty ones left out;" in result.stderr


def test_an_output_is_replaced_only_when_asked(run: Run) -> None:
    Path("out.npy").write_bytes(b"precious")

    result = run("a.txt", "-o", "out.npy")

    assert (result.exit_code, Path("out.npy").read_bytes()) == (1, b"precious")
    assert "--overwrite replaces it" in result.stderr
    assert run("a.txt", "-o", "out.npy", "--overwrite").exit_code == 0
    assert np.load("out.npy").shape == (5, 4)


def test_a_failure_tells_how_to_go_on(run: Run, client: type[FakeClient]) -> None:
    client.fail_at = "five"

    result = run("a.txt", "-o", "out.npy", "--batch-size", "2")

    assert result.exit_code == 1
    assert result.stderr == (
        "the upstream failed\n4 texts are done and kept; the same command with --resume goes on.\n"
    )
    refused = run("a.txt", "-o", "out.npy", "--batch-size", "2")
    assert "out.npy.parts holds what an interrupted run has finished; --resume" in refused.stderr

    client.fail_at = None
    result = run("a.txt", "-o", "out.npy", "--batch-size", "2", "--resume")

    assert "5 vectors of 4 numbers, 4 of them by an earlier run; 1 tokens" in result.stderr
    assert np.array_equal(np.load("out.npy"), expected("one", "two", "three", "four", "five"))


def test_other_options_are_refused_without_advice_that_would_fail(
    run: Run, client: type[FakeClient]
) -> None:
    client.fail_at = "five"
    run("a.txt", "-o", "out.npy", "--batch-size", "2")

    result = run("a.txt", "-o", "out.npy", "--batch-size", "3", "--resume", "--model", "n")

    assert result.exit_code == 1
    assert "--model: sentence-transformers/all-MiniLM-L6-v2 then, n now" in result.stderr
    assert "--batch-size: 2 then, 3 now" in result.stderr
    assert "the same command with --resume" not in result.stderr


def test_another_input_is_refused_without_advice_that_would_fail(
    run: Run, client: type[FakeClient]
) -> None:
    client.fail_at = "five"
    run("a.txt", "-o", "out.npy", "--batch-size", "2")
    Path("a.txt").write_text("one\ntwo\nthree\n4\nfive\n")

    result = run("a.txt", "-o", "out.npy", "--batch-size", "2", "--resume")

    assert result.exit_code == 1
    assert "the rows from a.txt:3 to a.txt:4 are not those that were embedded" in result.stderr
    assert "the same command with --resume" not in result.stderr


def test_resume_and_overwrite_exclude_each_other(run: Run) -> None:
    result = run("a.txt", "-o", "out.npy", "--resume", "--overwrite")

    assert result.exit_code == 2
    assert "give one of the two" in unboxed(result.stderr)


def test_settings_that_cannot_work_are_wrong_usage(run: Run, client: type[FakeClient]) -> None:
    client.error = ValueError("base_url is no address")

    result = run("a.txt", "-o", "out.npy", "--base-url", "nonsense")

    assert result.exit_code == 2
    assert "base_url is no address" in unboxed(result.stderr)


def test_a_model_that_cannot_be_had_is_one_message(run: Run, client: type[FakeClient]) -> None:
    client.error = ModelNotFound("m is not on this machine")

    result = run("a.txt", "-o", "out.npy")

    assert (result.exit_code, result.stderr) == (1, "m is not on this machine\n")


def test_without_pyarrow_the_extra_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith("embedway_gateway.bulk.parquet_s")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "embedway_gateway.bulk.column", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    result = run("a.txt", "-o", "out.parquet")

    assert result.exit_code == 1
    assert 'pip install "embedway[parquet]"' in result.stderr
    assert run("a.txt", "-o", "out.jsonl").exit_code == 0


def test_the_api_key_is_never_an_option(run: Run) -> None:
    """It would be seen by every user of the machine, in the list of processes."""
    result = run("--help")

    assert "EMBEDWAY_API_KEY" in result.output
    assert "--api-key" not in result.output
