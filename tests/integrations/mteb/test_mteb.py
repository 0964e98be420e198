"""MTEB itself takes our encoder, and finds what it finds with sentence-transformers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from doubles.mteb_environment import mteb_packages
from embedway_gateway.cli.app import application
from embedway_local import Store, embedway_home

RUN = Path(__file__).parents[2] / "doubles" / "mteb_run.py"


@pytest.fixture(scope="module")
def told(model_in_store: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    model = Store(embedway_home()).folder(model_in_store)
    work = tmp_path_factory.mktemp("mteb")
    done = subprocess.run(
        [sys.executable, str(RUN), str(mteb_packages()), str(model), str(work)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_encoder_is_one_to_mteb(told: dict[str, Any]) -> None:
    assert told["is_encoder"]


@pytest.mark.parametrize(
    ("task", "measures"),
    [
        ("SciFact", ("ndcg_at_10", "recall_at_10", "map_at_100", "mrr_at_10")),
        ("STS12", ("cosine_spearman", "cosine_pearson")),
    ],
)
def test_a_task_gives_what_sentence_transformers_gives(
    told: dict[str, Any], task: str, measures: tuple[str, ...]
) -> None:
    ours, theirs = told["encoder"][task], told["peer"][task]

    assert {name: ours[name] for name in measures} == pytest.approx(
        {name: theirs[name] for name in measures}, abs=1e-3
    )
    assert all(0.5 < theirs[name] < 1 for name in measures)


def test_eval_retrieval_gives_what_sentence_transformers_gives(told: dict[str, Any]) -> None:
    """Vectors of sentence-transformers, ranked and scored by MTEB."""
    theirs = told["peer"]["SciFact"]
    pairs = {
        f"{name}@{at}": theirs[f"{name}_at_{at}"]
        for name in ("ndcg", "recall", "mrr", "map", "precision")
        for at in (1, 3, 10, 100)
    }
    asked = ["eval", "retrieval", "--json", "-", "--measures", ",".join(pairs)]
    done = CliRunner().invoke(application(), asked)
    assert done.exit_code == 0, done.output
    scores = json.loads(done.stdout)["endpoints"][0]["scores"]

    assert {name: one["mean"] for name, one in scores.items()} == pytest.approx(pairs, abs=1e-3)


def test_the_command_prints_mtebs_score(told: dict[str, Any]) -> None:
    done = told["command"]

    assert done["code"] == 0, done
    (score,) = json.loads(done["stdout"])["scores"]
    assert (score["task"], score["kind"], score["measure"]) == (
        "SciFact",
        "Retrieval",
        "ndcg_at_10",
    )
    assert score["score"] == pytest.approx(told["encoder"]["SciFact"]["main_score"], abs=1e-6)


def test_what_was_measured_is_not_measured_again(told: dict[str, Any]) -> None:
    assert told["resumed"]["code"] == 0, told["resumed"]
    assert told["resumed"]["stdout"] == told["command"]["stdout"]


def test_a_task_that_mteb_does_not_have_is_named(told: dict[str, Any]) -> None:
    assert told["unknown"]["code"] == 1
    assert "SciFakt" in told["unknown"]["stderr"]


def test_data_that_cannot_be_had_is_told_in_a_sentence(told: dict[str, Any]) -> None:
    assert told["offline"]["code"] == 1
    assert "MTEB could not load the data of STS13: " in told["offline"]["stderr"]
