"""`embedway compare`, against stand-ins for the engines and the real local model."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from doubles.engine_infinity import Infinity
from doubles.engine_openai import OpenAIServer
from doubles.engine_ovms import OVMS
from doubles.engine_server import EngineServer, vectors_of
from doubles.engine_tei import TEI
from doubles.engine_vllm import VLLM
from doubles.gateway_process import GatewayProcess
from doubles.serving import served
from embedway_gateway.cli.app import application

Serve = Callable[[Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


def compared(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["compare", *arguments])


@pytest.mark.parametrize(
    ("engine", "server"),
    [
        ("tei", TEI),
        ("ovms", OVMS),
        ("infinity", Infinity),
        ("vllm", VLLM),
        ("openai", OpenAIServer),
    ],
)
def test_every_engine_is_compared_with_every_other(
    serve: Serve, engine: str, server: Callable[[], EngineServer]
) -> None:
    result = compared(f"{engine}+{serve(server())}", f"tei+{serve(TEI(max_input_length=9000))}")

    assert "of 7 texts" in result.stdout or "of 8 texts" in result.stdout, result.output


def test_the_same_space_is_exit_code_0_and_a_report_without_texts(
    serve: Serve, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("body\n" + "".join(f"private text {n}\n" for n in range(40)))
    report, png = tmp_path / "report.json", tmp_path / "histogram.png"
    options = ["--texts", str(texts), "--text-field", "body"]

    result = compared(
        f"tei+{serve(TEI())}",
        f"{serve(OpenAIServer())}/v1",
        *options,
        "--json",
        str(report),
        "--png",
        str(png),
    )

    assert result.exit_code == 0, result.output
    assert "The same vector space" in result.stdout
    assert "of the 10 nearest texts, both have 100.0% in common" in result.stdout
    found = json.loads(report.read_text())
    assert (found["verdict"], found["exit_code"], found["cosine"]["count"]) == ("same", 0, 40)
    assert "private text" not in report.read_text() + result.stdout
    assert png.read_bytes().startswith(b"\x89PNG")


def test_the_worst_text_is_shown_on_a_terminal(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")

    result = compared(f"tei+{serve(TEI())}", f"tei+{serve(TEI(model='other'))}")

    assert result.exit_code == 1
    assert "worst: " in result.stdout
    assert "(index " in result.stdout


def test_another_model_is_exit_code_1(serve: Serve) -> None:
    result = compared(f"tei+{serve(TEI())}", f"tei+{serve(TEI(model='other'))}")

    assert result.exit_code == 1
    assert "Cause: another model or revision" in result.stdout


def test_a_prompt_that_one_server_adds_is_named(serve: Serve, tmp_path: Path) -> None:
    result = compared(f"tei+{serve(TEI())}", f"tei+{serve(TEI(salt='query: '))},label=new")

    assert result.exit_code == 1
    assert "Cause: the prompt differs: new puts 'query: ' before each text" in result.stdout
    same = f"tei+{serve(TEI())},prompt=query: "
    (tmp_path / "t.txt").write_text("one\ntwo\n")
    salted = f"tei+{serve(TEI(salt='query: '))}"
    assert compared(same, salted, "--texts", str(tmp_path / "t.txt")).exit_code == 0


def test_missing_normalisation_is_named(serve: Serve) -> None:
    result = compared(f"tei+{serve(TEI())}", f"tei+{serve(TEI(length=3.0))},label=new")

    assert result.exit_code == 1
    assert "The same directions, but not the same lengths" in result.stdout
    assert "Cause: the normalisation is missing at new" in result.stdout


def test_truncation_is_named_with_the_length(serve: Serve, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"{'word ' * n}\n" for n in (3, 10, 20, 60, 90)))
    old = f"tei+{serve(TEI(max_input_length=512))}"
    new = f"tei+{serve(TEI(max_input_length=82))}"

    result = compared(old, new, "--texts", str(texts))

    assert result.exit_code == 1
    assert "those of up to 60 words agree, those from 90 words on do not" in result.stdout


def test_short_texts_that_agree_are_noted_when_longer_ones_would_not(
    serve: Serve, tmp_path: Path
) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("one\ntwo\nthree\n")
    old, new = serve(TEI(max_input_length=512)), serve(TEI(max_input_length=82))

    result = compared(f"tei+{old}", f"tei+{new}", "--texts", str(texts))

    assert result.exit_code == 0
    assert "Note: these texts agree, but longer ones would not" in result.stdout


class _Cut(TEI):
    def vectors(self, texts: Any) -> Any:
        rows = vectors_of(texts, model=self.model, dimensions=8)[:, :4]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_cut_dimensions_are_named(serve: Serve) -> None:
    result = compared(f"tei+{serve(TEI())}", f"tei+{serve(_Cut(dimensions=4))},label=new")

    assert result.exit_code == 1, result.output
    assert "Cause: the dimensions are cut: new gives the first 4 numbers" in result.stdout


class _Constant(TEI):
    def vectors(self, texts: Any) -> Any:
        return super().vectors(["x"] * len(texts))


def test_what_does_not_embed_cannot_be_told(serve: Serve) -> None:
    result = compared(f"tei+{serve(TEI())}", f"tei+{serve(_Constant())}")

    assert result.exit_code == 2
    assert "gives every text the same vector" in result.stdout


@pytest.mark.parametrize(
    ("new", "said"),
    [
        ("http://127.0.0.1:9/v1", "cannot be reached: nothing listens there"),
        ("nonsense", "'nonsense' is no endpoint: write `local`"),
        ("tie+http://127.0.0.1:1", "no engine 'tie'; known: tei,"),
        ("local,polling=cls", "there is no option 'polling' here; did you mean 'pooling'?"),
        ("local,pooling=max", "pooling=max: known are cls, mean, last"),
        ("missing.yaml#m", "missing.yaml cannot be used"),
        ("missing.yaml", "name a model or upstream of the file, as missing.yaml#NAME"),
        ("http://127.0.0.1:1,credentials=x", "add --config FILE"),
        ("http://example.com/v1", "plain http beyond this machine; use https, or insecure=true"),
    ],
)
def test_what_cannot_be_asked_is_exit_code_2_and_a_cure(serve: Serve, new: str, said: str) -> None:
    result = compared(f"tei+{serve(TEI())}", new)

    assert result.exit_code == 2
    assert said in result.stderr


def test_another_engine_at_the_address_is_told(serve: Serve) -> None:
    result = compared(f"vllm+{serve(OVMS())}", f"tei+{serve(TEI())}")

    assert result.exit_code == 2
    assert "It answers as ovms does: write ovms+http" in result.stderr


def test_a_key_comes_from_the_environment_and_is_never_shown(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEW_KEY", "planted-token")
    new = f"tei+{serve(TEI(key='planted-token'))}"

    result = compared(f"tei+{serve(TEI())}", f"{new},key=NEW_KEY")
    mistaken = compared(f"tei+{serve(TEI())}", f"{new},key=planted-token")

    assert result.exit_code == 0, result.output
    assert mistaken.exit_code == 2
    assert "key= names an environment variable" in mistaken.stderr
    with_user = compared("http://me:planted-token@127.0.0.1:1/v1", "local")
    assert "url must have no user" in with_user.stderr
    assert "planted-token" not in result.output + mistaken.output + with_user.output


def test_a_model_or_an_upstream_of_a_configuration(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "embedway.yaml"
    file.write_text(f"""
credentials:
  key: {{type: bearer, token: planted-token}}
models:
  - name: m
    dimensions: 8
    prompts: {{query: "q: ", document: ""}}
    upstreams:
      - {{name: a, engine: tei, url: "{serve(TEI())}", model: model}}
      - {{name: b, engine: tei, url: "{serve(TEI(key="planted-token"))}", credentials: key}}
""")

    assert compared(f"{file}#m", f"{file}#b").exit_code == 0
    asked = compared(f"{file}#a,input_type=query", f"{file}#b")
    assert asked.exit_code == 1
    assert "embeds texts as" in asked.stdout or "prompt differs" in asked.stdout
    assert "there are m, a, b" in compared(f"{file}#c", f"{file}#b").stderr


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "embedway_gateway.picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)

    result = compared("local", "local", "--png", "x.png")

    assert result.exit_code == 2
    assert 'pip install "embedway[plot]"' in result.stderr


def test_the_local_model_and_the_gateway_are_the_same(gateway: GatewayProcess) -> None:
    result = compared("local", f"embedway+{gateway.root}/v1")

    assert result.exit_code == 0, result.output
    assert "The same vector space" in result.stdout


def test_another_pooling_is_named(model_in_store: str) -> None:
    result = compared("local", f"local:{model_in_store},pooling=cls,label=new")

    assert result.exit_code == 1
    assert "the pooling differs: local gives mean pooling, new gives cls pooling" in result.stdout


def an_index(path: Path, texts: list[str], **server: Any) -> Path:
    """What an index was made of, as a file of any of the three kinds."""
    rows = TEI(**server).vectors(texts)
    if path.suffix == ".npy":
        np.save(path, rows.astype(np.float64))
    elif path.suffix == ".parquet":
        table = {"body": texts, "vec": rows.tolist()}
        pq.write_table(pa.table(table, schema=_COLUMNS), path)
    else:
        records = [
            {"text": t, "embedding": row.tolist()} for t, row in zip(texts, rows, strict=True)
        ]
        path.write_text("".join(f"{json.dumps(record)}\n" for record in records), "utf-8")
    return path


_COLUMNS = pa.schema([("body", pa.string()), ("vec", pa.list_(pa.float32()))])
TEXTS = [f"passage {n} of an index" for n in range(30)]


@pytest.mark.parametrize("kind", [".jsonl", ".parquet", ".npy"])
def test_an_index_as_a_file_is_compared_with_an_endpoint(
    serve: Serve, tmp_path: Path, kind: str
) -> None:
    old = f"file:{an_index(tmp_path / f'old{kind}', TEXTS)}"
    options = []
    if kind == ".parquet":
        old += ",text=body,vector=vec"
    if kind == ".npy":
        (tmp_path / "texts.txt").write_text("\n".join(TEXTS))
        options = ["--texts", str(tmp_path / "texts.txt")]
    report, png = tmp_path / "report.json", tmp_path / "cosines.png"

    same = compared(old, f"tei+{serve(TEI())}", *options, "--json", str(report), "--png", str(png))
    other = compared(old, f"tei+{serve(TEI(model='other'))}", *options)

    assert same.exit_code == 0, same.output
    assert "cosine of 30 texts" in same.stdout
    assert (30, "same") == (json.loads(report.read_text())["texts"], "same")
    assert png.read_bytes().startswith(b"\x89PNG")
    assert other.exit_code == 1
    assert "Cause: another model or revision" in other.stdout


def test_vectors_are_not_taken_for_those_of_other_texts_where_some_are_empty(
    serve: Serve, tmp_path: Path
) -> None:
    """By their place alone: behind an empty text each would be the next one's."""
    npy = an_index(tmp_path / "old.npy", TEXTS)
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS[:5], "", *TEXTS[5:]]))
    given = (f"file:{npy}", f"tei+{serve(TEI())}", "--texts", str(tmp_path / "texts.txt"))

    whole, part = compared(*given), compared(*given, "--limit", "10")

    # As `embedway embed --skip-empty` leaves them out.
    assert whole.exit_code == 0, whole.output
    assert part.exit_code == 2
    assert "1 of the texts are empty" in part.stderr


def test_the_texts_of_an_index_are_found_by_what_they_say(serve: Serve, tmp_path: Path) -> None:
    """In another order, twice, and not all of them."""
    old = an_index(tmp_path / "old.jsonl", [*TEXTS, TEXTS[3]])
    (tmp_path / "texts.txt").write_text("\n".join([*TEXTS[::-2], "of another index"]))

    result = compared(f"file:{old}", f"tei+{serve(TEI())}", "--texts", str(tmp_path / "texts.txt"))

    assert result.exit_code == 0, result.output
    assert "cosine of 15 texts" in result.stdout
    assert "has no vector of 1 of 16 texts; they are not compared" in result.stdout


def test_a_limit_takes_the_first_texts_of_an_index(serve: Serve, tmp_path: Path) -> None:
    old = an_index(tmp_path / "old.jsonl", TEXTS)

    result = compared(f"file:{old},label=old", f"file:{old}", "--limit", "10")

    assert result.exit_code == 0, result.output
    assert "cosine of 10 texts" in result.stdout
    assert "The first 10 texts of" in result.stderr


@pytest.mark.parametrize(
    ("index", "server", "cause"),
    [
        ({"salt": "passage: "}, {}, "new does not"),
        ({}, {"salt": "query: "}, "the prompt differs: new puts 'query: ' before each text"),
        ({"length": 3.0}, {}, "the normalisation is missing at old"),
    ],
)
def test_why_an_index_differs_is_named(
    serve: Serve, tmp_path: Path, index: dict[str, Any], server: dict[str, Any], cause: str
) -> None:
    old = an_index(tmp_path / "old.jsonl", TEXTS, **index)

    result = compared(f"file:{old},label=old", f"tei+{serve(TEI(**server))},label=new")

    assert result.exit_code == 1
    if "salt" in server:
        # Only the endpoint can be asked with another prompt, and this one adds its own.
        cause = "another model or revision, or a pooling or prompt that could not be found out"
    assert cause in result.stdout


def test_an_index_of_cut_texts_is_told_from_another_model(serve: Serve, tmp_path: Path) -> None:
    texts = [" ".join(f"w{n}" for n in range(long)) for long in (3, 5, 7, 9, 40, 60, 90, 120)]
    old = an_index(tmp_path / "old.jsonl", texts)

    result = compared(f"file:{old}", f"tei+{serve(TEI(max_input_length=52))}")

    assert result.exit_code == 1
    assert "those of up to 40 words agree, those from 60 words on do not" in result.stdout


def test_what_no_index_is_gets_a_cure(serve: Serve, tmp_path: Path) -> None:
    new = f"tei+{serve(TEI())}"
    npy = an_index(tmp_path / "old.npy", TEXTS)
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS[1:]))
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "embedding": "far"}\n')
    (tmp_path / "odd.jsonl").write_text(
        '{"text": "a", "embedding": [1, 2]}\n{"text": "b", "embedding": [1]}\n'
    )
    (tmp_path / "constant.jsonl").write_text(
        '{"text": "a", "embedding": [1, 2]}\n{"text": "b", "embedding": [1, 2]}\n'
    )
    said = {
        f"file:{npy}": "has vectors without their texts: name those with --texts",
        f"{npy}": f"a file of vectors is written file:{npy}",
        f"file:{tmp_path}/gone.npy": "there is no such file",
        f"file:{tmp_path}/old.csv": "files of vectors end in .parquet, .jsonl or .npy",
        f"file:{tmp_path}/bad.jsonl": "bad.jsonl:1: 'embedding' is not a list of numbers",
        f"file:{tmp_path}/odd.jsonl": "odd.jsonl:2: 1 numbers, where others have 2",
        f"file:{tmp_path}/odd.jsonl,vector=v": "no field 'v', only text, embedding; vector= names",
        f"file:{tmp_path}/odd.jsonl,dimensions=2": "there is no option 'dimensions' here",
        f"file:{tmp_path}/constant.jsonl": "has the same vector for every text",
    }

    for old, words in said.items():
        result = compared(old, new)
        assert result.exit_code == 2, old
        assert words in result.output
    short = compared(f"file:{npy}", new, "--texts", str(tmp_path / "texts.txt"))
    assert "has more vectors for 29 texts" in short.stderr
    elsewhere = CliRunner().invoke(application(), ["bench", f"file:{npy}"])
    assert "only `embedway compare` takes it" in elsewhere.stderr
