"""The migration guide, followed blindly: the old lines, the new ones, and the verdict on both."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from doubles.infinity_environment import infinity_python
from doubles.moving import MINILM, TEXTS, World, moving_world
from doubles.neighbours_environment import neighbours_packages, neighbours_python
from embedway_gateway.cli.app import application
from embedway_local import Store, embedway_home
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

PAGE = Path(__file__).parents[2] / "docs" / "migrate.md"
OLD_LINES = Path(__file__).parents[1] / "doubles" / "old_lines.py"
OCI_LANGCHAIN = "`OCIModelDeploymentEndpointEmbeddings`"

_BLOCK = re.compile(
    r"^<!-- run by test_migration: ([^>]+) -->\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
# What the table at the top promises, and what `compare` then says; none: nothing was written.
_PROMISES = {"the same": 0, "others": 1}


@dataclass
class Move:
    """A section of the guide; `error` is the trace that its old lines end with."""

    heading: str
    blocks: dict[str, str]
    folder: Path
    error: str = ""

    @property
    def verdicts(self) -> set[int]:
        """What the table promises, as exit codes of `compare`; empty where nothing can be told."""
        anchor = re.sub(r"[^\w\- ]", "", self.heading.lower()).replace(" ", "-")
        row = re.search(rf"\(#{anchor}\)[^|]*\| ([^|,]+)", PAGE.read_text("utf-8"))
        assert row, self.heading
        code = _PROMISES.get(row[1].strip())
        return set() if code is None else {code}


@dataclass
class Guide:
    """All sections, after their old lines were run."""

    world: World
    write: str
    verdict: str
    moves: dict[str, Move] = field(default_factory=dict)


def sections() -> dict[str, dict[str, str]]:
    """The blocks of each heading, by what they are."""
    parts = re.split(r"^## (.+)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    found = {
        heading: dict(_BLOCK.findall(text))
        for heading, text in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: blocks for heading, blocks in found.items() if blocks}


PROOF = sections()["The proof"]
MOVES = [heading for heading, blocks in sections().items() if "new" in blocks]


@pytest.fixture(scope="module")
def guide(model_in_store: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    home = tmp_path_factory.mktemp("home")
    with moving_world(home, Store(embedway_home()).folder(model_in_store)) as world:
        guide = Guide(world, PROOF["write"], PROOF["verdict"])
        for heading in MOVES:
            folder = tmp_path_factory.mktemp("move")
            (folder / "texts.txt").write_text("\n".join(TEXTS), "utf-8")
            guide.moves[heading] = Move(heading, sections()[heading], folder)
        _run_old_lines(guide)
        yield guide


def _run_old_lines(guide: Guide) -> None:
    """In the two Pythons that have the old classes, at once."""
    neighbours = neighbours_python()
    behind = [str(neighbours_packages(neighbours)), *_paths(neighbours)]
    running = [
        begun(guide, "old", [str(neighbours), str(OLD_LINES)]),
        begun(guide, "old with torch", [str(infinity_python()), str(OLD_LINES), *behind]),
    ]
    for process, jobs in running:
        out, errors = process.communicate(json.dumps(jobs), timeout=200)
        assert process.returncode == 0, errors
        for heading, error in json.loads(out.splitlines()[-1]).items():
            guide.moves[heading].error = error


def _paths(python: Path) -> list[str]:
    return (neighbours_packages(python) / "tests.pth").read_text("utf-8").split("\n")[:-1]


def begun(
    guide: Guide, kind: str, command: list[str]
) -> tuple[subprocess.Popen[str], dict[str, dict[str, str]]]:
    """A process that waits for its jobs, and the jobs."""
    jobs = {}
    for heading, move in guide.moves.items():
        if kind not in move.blocks:
            continue
        code = guide.world.here(move.blocks[kind])
        if kind == "old with torch":
            code = code.replace(MINILM, str(guide.world.home / "pipeline"))
        code += f"\n{guide.write}\nwrite(old, 'old.jsonl')\n"
        jobs[heading] = {"code": code, "folder": str(move.folder)}
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=guide.world.environment
    )
    return process, jobs


@pytest.fixture
def _at_home(guide: Guide, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new lines find what a user has in the environment."""
    store = embedway_home()
    for name, value in guide.world.environment.items():
        if os.environ.get(name) != value:
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("EMBEDWAY_HOME", str(store))


def new_lines(guide: Guide, move: Move) -> EmbedwayEmbeddings | EmbedwayEmbedding:
    names: dict[str, object] = {"__name__": "__main__"}
    exec(guide.world.here(move.blocks["new"]), names)
    new = names["new"]
    assert isinstance(new, EmbedwayEmbeddings | EmbedwayEmbedding)
    return new


@pytest.mark.usefixtures("_at_home")
@pytest.mark.parametrize("heading", MOVES)
def test_the_verdict_is_what_the_guide_says(
    guide: Guide, heading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = guide.moves[heading]
    monkeypatch.chdir(move.folder)
    names = {"new": new_lines(guide, move)}
    exec(f"{guide.write}\nwrite(new, 'new.jsonl')", names)

    if not move.verdicts:
        assert heading == OCI_LANGCHAIN or "old" not in move.blocks
        return
    assert move.error == ""
    commands = [shlex.split(line)[1:] for line in guide.verdict.splitlines()]
    results = [CliRunner().invoke(application(), command) for command in commands]
    assert 2 == len(results)
    assert move.verdicts == {result.exit_code for result in results}, results[0].output
    report = json.loads(Path("report.json").read_text("utf-8"))
    assert len(TEXTS) == report["cosine"]["count"]
    assert Path("cosines.png").read_bytes().startswith(b"\x89PNG")


def test_the_guide_has_every_class(guide: Guide) -> None:
    """And none of its sections is passed over."""
    assert 8 == len(MOVES)
    assert 7 == sum(any(kind.startswith("old") for kind in m.blocks) for m in guide.moves.values())


def test_langchains_class_for_oci_had_nothing_to_keep(guide: Guide) -> None:
    """One flat vector for all texts, which is what the proof stumbles over."""
    move = guide.moves[OCI_LANGCHAIN]

    assert "ValueError: zip() argument 2 is longer than argument 1" in move.error
    assert guide.world.oci.verdicts["ok"] > 0


@pytest.mark.usefixtures("_at_home")
def test_answers_in_another_order_are_sorted_out(guide: Guide) -> None:
    """Which LlamaIndex's class for OCI did not do."""
    new = new_lines(guide, guide.moves["`OCIDataScienceEmbedding`"])
    assert isinstance(new, EmbedwayEmbedding)
    before = new.get_text_embedding_batch(TEXTS)
    tei = guide.world.tei
    tei.items = lambda forms: type(tei).items(tei, forms)[::-1]  # type: ignore[method-assign]
    try:
        after = new.get_text_embedding_batch(TEXTS)
    finally:
        del tei.items

    np.testing.assert_array_equal(before, after)
