"""`embedway eval retrieval`, with the real model, a real gateway and stand-ins for the engines."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from doubles.engine_server import load, vectors_of
from doubles.engine_tei import TEI
from doubles.gateway_process import GatewayProcess
from doubles.rerank_upstream import RerankUpstream, relevance
from doubles.serving import served
from embedway_gateway.cli.app import application
from embedway_gateway.config.schema import Config
from embedway_gateway.web.app import create_app

Serve = Callable[[Any], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        yield lambda app: stack.enter_context(served(app))


def evaluated(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["eval", "retrieval", *arguments])


def told(*arguments: str) -> Any:
    done = evaluated(*arguments, "--json", "-")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty passages; `q1` is the text of `d1`, and so on."""
    passages = [{"_id": f"d{n}", "text": f"passage {n}", "title": ""} for n in range(20)]
    passages += [{"_id": "blank", "text": "", "title": ""}]
    queries = [{"_id": f"q{n}", "text": f"passage {n}"} for n in range(8)]
    for name, rows in (("corpus", passages), ("queries", queries)):
        (tmp_path / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (tmp_path / "qrels").mkdir()
    judged = "".join(f"q{n}\td{n}\t1\n" for n in range(8))
    (tmp_path / "qrels" / "test.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return tmp_path


def test_without_anything_the_model_here_is_measured_on_the_shipped_set(
    model_in_store: str, tmp_path: Path
) -> None:
    report, rows, png = tmp_path / "r.json", tmp_path / "q.jsonl", tmp_path / "s.png"

    done = evaluated("--json", str(report), "--per-query", str(rows), "--plot", str(png))

    assert done.exit_code == 0, done.output
    assert "150 passages, 62 queries, 78 judgements" in done.stderr
    assert "0.9425 [0.906, 0.975]" in done.stdout
    found = json.loads(report.read_text())
    assert found["data"] == {"passages": 150, "queries": 62, "judgements": 78}
    assert found["endpoints"][0]["model"] == model_in_store
    assert found["endpoints"][0]["scores"]["ndcg@10"]["mean"] == pytest.approx(0.9425, abs=1e-4)
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    assert np.mean([line["scores"]["ndcg@10"] for line in lines]) == pytest.approx(
        found["endpoints"][0]["scores"]["ndcg@10"]["mean"]
    )
    assert len(lines[0]["ranking"]) == 100
    assert png.read_bytes().startswith(b"\x89PNG")


def test_a_gateway_is_as_good_as_the_model_in_it(gateway: GatewayProcess) -> None:
    found = told("local", f"embedway+{gateway.base_url}")

    here, there = (one["scores"] for one in found["endpoints"])
    assert there == here
    assert found["endpoints"][1]["against_first"]["ndcg@10"]["p"] == 1


def test_whoever_finds_all_is_better_than_whoever_finds_nothing(serve: Serve, folder: Path) -> None:
    good = f"tei+{serve(TEI())},label=good"
    # Its queries are in another space than its passages.
    bad = f"tei+{serve(TEI())},query_prompt=q: ,label=bad"

    done = evaluated(good, bad, "--data", str(folder), "--measures", "mrr@1,recall@20")

    assert done.exit_code == 0, done.output
    assert "1.0000 [1.000, 1.000]" in done.stdout
    assert "mrr@1: bad against good: better in 0, worse in" in done.stdout
    assert "worse by more than chance" in done.stdout
    assert "Note: 1 passages are empty, and are never found" in done.stdout
    assert "recall@20" in done.stdout
    assert "p=1.000" in done.stdout


def asked_of(server: TEI) -> list[str]:
    return [text for one in server.seen if one.body for text in load(one.body)["input"]]


PROMPTED = sorted([*(f"q: passage {n}" for n in range(8)), *(f"d: passage {n}" for n in range(20))])


def test_queries_and_passages_have_prompts_of_their_own(serve: Serve, folder: Path) -> None:
    server = TEI()

    told(f"tei+{serve(server)},query_prompt=q: ,document_prompt=d: ", "--data", str(folder))

    assert sorted(asked_of(server)) == PROMPTED


def test_our_gateway_is_told_what_is_a_query(serve: Serve, folder: Path) -> None:
    server = TEI()
    model = {
        "name": "m",
        "dimensions": 8,
        "prompts": {"query": "q: ", "document": "d: "},
        "upstreams": [{"name": "up", "engine": "tei", "url": serve(server)}],
    }
    address = serve(create_app(Config.model_validate({"models": [model]})))

    told(f"embedway+{address}/v1#m", "--data", str(folder))

    assert sorted(text for text in asked_of(server) if "passage" in text) == PROMPTED


def test_what_is_too_long_for_an_endpoint_is_told_and_not_found(serve: Serve, folder: Path) -> None:
    long = {"_id": "d1", "text": "word " * 50}
    (folder / "corpus.jsonl").write_text(
        "".join(
            f"{json.dumps(long if n == 1 else {'_id': f'd{n}', 'text': f'passage {n}'})}\n"
            for n in range(20)
        )
    )
    place = f"tei+{serve(TEI(max_input_length=16, auto_truncate=False))},label=short"

    found = told(place, "--data", str(folder), "--measures", "hits@20")

    assert found["endpoints"][0]["refused_passages"] == 1
    assert found["endpoints"][0]["scores"]["hits@20"]["mean"] == pytest.approx(7 / 8)
    assert found["notes"] == ["short refused 1 passages as too long: never found"]


class _Constant(TEI):
    def vectors(self, texts: Any) -> NDArray[np.float32]:
        return vectors_of(["same"] * len(texts))


def test_an_endpoint_that_gives_every_text_one_vector_is_refused(
    serve: Serve, folder: Path
) -> None:
    done = evaluated(f"tei+{serve(_Constant())}", "--data", str(folder))

    assert done.exit_code == 1
    assert "different texts have the same vector" in done.stderr


@pytest.mark.parametrize(
    ("scheme", "server"),
    [
        ("tei", TEI(kind="reranker")),
        ("embedway", RerankUpstream()),
    ],
)
def test_a_reranker_puts_the_best_into_its_order(
    serve: Serve, folder: Path, scheme: str, server: Any
) -> None:
    rows = folder / "rows.jsonl"
    address = serve(server) + ("/v1#model" if scheme == "embedway" else "")

    done = evaluated(
        f"tei+{serve(TEI())},label=first",
        *("--rerank", f"{scheme}+{address},label=second", "--rerank-top", "5"),
        *("--data", str(folder), "--per-query", str(rows), "--measures", "ndcg@10"),
    )

    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    first, second = lines[:2]
    assert (first["endpoint"], second["endpoint"]) == ("first", "first → second")
    before, after = ([one["id"] for one in line["ranking"]] for line in (first, second))
    scores = {name: relevance("passage 0", f"passage {name[1:]}") for name in before}
    assert after == sorted(before[:5], key=lambda name: -scores[name]) + before[5:]


def test_a_local_cross_encoder_reranks(serve: Serve, folder: Path) -> None:
    model = Path(__file__).parents[2] / "local_runtime" / "reference" / "rerankers" / "bert"

    found = told(f"tei+{serve(TEI())}", "--rerank", f"local:{model}", "--data", str(folder))

    assert [one["engine"] for one in found["endpoints"]] == ["tei", "tei → local"]


def test_queries_that_are_passages_find_others(serve: Serve, folder: Path) -> None:
    (folder / "queries.jsonl").write_text('{"_id": "d1", "text": "passage 1"}\n')
    (folder / "qrels" / "test.tsv").write_text("d1 0 d1 1\nd1 0 d2 1\n")
    place = f"tei+{serve(TEI())}"
    options = ["--data", str(folder), "--measures", "recall@20"]

    whole, without = (told(place, *options, *more) for more in ([], ["--drop-same-id"]))

    assert [one["endpoints"][0]["scores"]["recall@20"]["mean"] for one in (whole, without)] == [
        1.0,
        0.5,
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["local,input_type=query"], "input_type= has no place here"),
        (["local,prompt=a,query_prompt=b"], "prompt= is both"),
        (["--measures", "bleu@4"], "'bleu@4' is no measure"),
        (["--data", "nowhere"], "nowhere: there is no such folder"),
        (["--corpus", "corpus.jsonl"], "belong together"),
        (["--json", "nowhere/report.json"], "there is no folder nowhere"),
        (["--rerank", "local"], "name the cross-encoder, as local:MODEL"),
        (["--rerank", "onnx+http://127.0.0.1:9"], "onnx does not rerank"),
        (["--rerank", "local:m,prompt=x"], "a reranker has no prompt="),
        (["tei+http://127.0.0.1:9"], "nothing listens"),
    ],
)
def test_what_cannot_be_is_told_in_a_sentence(
    model_in_store: str, options: list[str], words: str
) -> None:
    done = evaluated(*options)

    assert done.exit_code in {1, 2}
    assert words in " ".join(done.output.replace("│", " ").split()), done.output


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "embedway_gateway.picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "mteb", None)

    drawn = evaluated("--png", "scores.png")
    asked = CliRunner().invoke(application(), ["eval", "mteb", "--tasks", "SciFact"])

    assert (drawn.exit_code, asked.exit_code) == (1, 1)
    assert 'pip install "embedway[plot]"' in drawn.stderr
    assert 'pip install "embedway[eval]"' in asked.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--model", "minilm"], "name tasks with --tasks"),
        (["--tasks", "a", "--resume"], "--resume needs --results"),
        (["tei+http://127.0.0.1:9", "--model", "a", "--tasks", "b"], "--model is a local one"),
    ],
)
def test_mteb_is_told_what_to_run(options: list[str], words: str) -> None:
    done = CliRunner().invoke(application(), ["eval", "mteb", *options])

    assert done.exit_code == 2
    assert words in done.output


@pytest.fixture
def revisions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What MTEB is told to file each run's results under, instead of running it."""
    seen: list[str] = []

    def run(encoder: Any, *_: object, **__: object) -> Iterator[object]:
        seen.append(encoder._revision)
        return iter(())

    monkeypatch.setattr("embedway_gateway.evaluation.tasks.find_tasks", lambda *_: [])
    monkeypatch.setattr("embedway_gateway.evaluation.tasks.run_tasks", run)
    return seen


def mteb(*options: str) -> None:
    done = CliRunner().invoke(application(), ["eval", "mteb", *options, "--tasks", "SciFact"])
    assert 0 == done.exit_code, done.output


def test_kept_results_of_mteb_are_those_of_the_same_settings(
    tmp_path: Path, serve: Serve, revisions: list[str]
) -> None:
    """Else --resume would give the scores of one for those of another."""
    address, other = serve(TEI()), serve(TEI())
    config = tmp_path / "embedway.yaml"

    def named(url: str, more: str = "", query: str = "") -> str:
        config.write_text(
            f"models: [{{name: m, dimensions: 8, prompts: {{query: '{query}', document: ''}}, "
            f"upstreams: [{{name: up, engine: tei, url: '{url}'{more}}}]}}]"
        )
        return f"{config}#m"

    url = f"{address}/v1#m"
    mteb(url)
    mteb(url)
    mteb(url, "--engine", "embedway")
    mteb(url, "--symmetric", "query")
    mteb(named(address))
    mteb(named(address, query="query: "))
    mteb(named(other))
    mteb(named(address, ", precision: fp16"))

    assert revisions[0] == revisions[1]
    assert 7 == len(set(revisions))


class _Tuned(TEI):
    """Another model of the same size: its vectors have a cosine of 0.95 with the first's."""

    tuned = False
    noise = 0.0

    def vectors(self, texts: Any) -> NDArray[np.float32]:
        first = vectors_of(texts)
        if self.noise:
            return first + np.float32(self.noise)
        other = vectors_of([f"{text}, tuned" for text in texts])
        return first + np.float32(0.33) * other if self.tuned else first


def test_kept_results_of_mteb_are_not_those_of_a_model_that_was_exchanged(
    serve: Serve, revisions: list[str]
) -> None:
    server = _Tuned()
    address = f"tei+{serve(server)}"

    mteb(address)
    server.noise = 1e-6
    mteb(address)
    server.noise, server.tuned = 0.0, True
    mteb(address)

    assert revisions[0] == revisions[1], "what a batch changes is no other model"
    assert revisions[1] != revisions[2]


def test_kept_results_of_mteb_are_those_of_the_vector_space_that_is_told(
    serve: Serve, revisions: list[str]
) -> None:
    server = _Tuned()
    address = f"embedway+{serve(server)}/v1#m"

    def told(space: str, *, tuned: bool = False) -> str:
        server.headers = {"x-embedway-vector-space": space}
        server.tuned = tuned
        mteb(address)
        return revisions[-1]

    # Of what a local model is made of; the replicas of a gateway may differ a little.
    assert told("vs1-a") == told("vs1-a", tuned=True)
    assert told("vs1-a") != told("vs1-b")
    # Of what a configuration declares, which another model may be found behind.
    assert told("vs1d-a") == told("vs1d-a")
    assert told("vs1d-a") != told("vs1d-b")
    assert told("vs1d-a") != told("vs1d-a", tuned=True)
