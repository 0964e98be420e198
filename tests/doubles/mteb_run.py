"""
Runs real MTEB over the shipped set, in a process that can import it; prints what came out as JSON.

    python mteb_run.py PACKAGES MODEL_FOLDER WORK_FOLDER

MTEB's tasks load their data from a hub; these two are given ours instead, and nothing else of them
is changed.
"""

from __future__ import annotations

import json
import os
import site
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

site.addsitedir(sys.argv[1])
os.environ |= {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1"}

import mteb
from datasets import Dataset
from mteb.models.models_protocols import EncoderProtocol
from mteb.tasks import STS12STS, SciFact
from sentence_transformers import SentenceTransformer
from typer.testing import CliRunner

from embedway_client import Client
from embedway_gateway.cli.app import application
from embedway_local.retrieval_set import shipped_set
from mteb_embedway import EmbedwayEncoder

SET = shipped_set()


def _retrieval(self: Any, *args: Any, **options: Any) -> None:
    passages = [{"id": name, "text": text, "title": ""} for name, text in SET.corpus.items()]
    queries = [{"id": name, "text": text} for name, text in SET.queries.items()]
    split = {
        "corpus": Dataset.from_list(passages),
        "queries": Dataset.from_list(queries),
        "relevant_docs": {query: dict(judged) for query, judged in SET.judgements.items()},
        "top_ranked": None,
    }
    self.dataset, self.data_loaded = {"default": {"test": split}}, True


def _similarity(self: Any, *args: Any, **options: Any) -> None:
    """How relevant two passages are to each other: whether they have a subject in common."""
    names = list(SET.corpus)
    pairs = [(names[at], names[(at + step) % len(names)]) for at in range(60) for step in (1, 7)]
    rows = [
        {
            "sentence1": SET.corpus[one],
            "sentence2": SET.corpus[other],
            "score": float(one.split("-")[0] == other.split("-")[0]),
        }
        for one, other in pairs
    ]
    self.dataset, self.data_loaded = {"test": Dataset.from_list(rows)}, True


def _scores(model: Any) -> dict[str, dict[str, Any]]:
    found = mteb.evaluate(
        model, [SciFact(), STS12STS()], cache=None, show_progress_bar=False
    ).task_results
    return {one.task_name: one.scores["test"][0] for one in found}


def _command(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(application(), ["eval", "mteb", *arguments])
    return {"code": done.exit_code, "stdout": done.stdout, "stderr": done.stderr}


def _run(model: Path, work: Path) -> dict[str, Any]:
    SciFact.load_data, STS12STS.load_data = _retrieval, _similarity
    peer = SentenceTransformer(str(model), device="cpu")
    peer.max_seq_length = 256
    told: dict[str, Any] = {"peer": _scores(peer)}
    with Client("sentence-transformers/all-MiniLM-L6-v2", base_url="local") as client:
        encoder = EmbedwayEncoder(client, name="sentence-transformers/all-MiniLM-L6-v2")
        told["is_encoder"] = isinstance(encoder, EncoderProtocol)
        told["encoder"] = _scores(encoder)
    kept = ["--tasks", "SciFact", "--results", str(work)]
    told["command"] = _command(*kept, "--json", "-")
    # A second run would otherwise find the same.
    SciFact.load_data = _fail
    told["resumed"] = _command(*kept, "--resume", "--json", "-")
    told["offline"] = _command("--tasks", "STS13")
    told["unknown"] = _command("--tasks", "SciFakt")
    return told


def _fail(self: Any, *args: Any, **options: Any) -> None:
    raise AssertionError("the data was loaded again")


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):
        result = _run(Path(sys.argv[2]), Path(sys.argv[3]))
    sys.stdout.write(f"{json.dumps(result)}\n")
