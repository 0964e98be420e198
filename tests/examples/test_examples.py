"""Each example runs, and what it prints is right."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from doubles.gateway_process import GatewayProcess

EXAMPLES = Path(__file__).parents[2] / "examples"
NOBODY = "http://127.0.0.1:9/v1"
# Nothing is reached through these; who asks for a network fails.
NO_NETWORK = {
    **dict.fromkeys(
        ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9"
    ),
    "HF_ENDPOINT": "http://127.0.0.1:9",
    "PIP_NO_INDEX": "1",
}
QUESTIONS = [
    ("Where are models downloaded from?", "local-runtime.md", "Where models come from"),
    ("How do the classes fall back when the gateway is down?", "classes.md", "Falling back"),
    ("When can two vectors be compared?", "concepts.md", "Vector space"),
]

Run = Callable[..., subprocess.CompletedProcess[str]]


def example(run: Run, name: str, *arguments: str, **variables: str) -> str:
    done = run(sys.executable, str(EXAMPLES / name), *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


def first_passage(output: str) -> tuple[str, str]:
    """Source and heading of the passage that was found to be the nearest."""
    found = re.search(r"^1\. (\S+) – (.+) \(cosine", output, re.MULTILINE)
    assert found, output
    return found[1], found[2]


@pytest.mark.parametrize("program", ["rag_langchain.py", "rag_llama_index.py"])
@pytest.mark.parametrize("case", QUESTIONS, ids=lambda case: case[2])
def test_rag_finds_the_right_passage(
    gateway: GatewayProcess, run: Run, program: str, case: tuple[str, str, str]
) -> None:
    question, source, heading = case
    output = example(run, program, question, EMBEDWAY_BASE_URL=gateway.base_url)

    assert first_passage(output) == (source, heading)


@pytest.mark.parametrize("program", ["rag_langchain.py", "rag_llama_index.py"])
def test_rag_works_without_a_gateway(model_in_store: str, run: Run, program: str) -> None:
    question, source, heading = QUESTIONS[0]
    output = example(run, program, "--base-url", "local", question, **NO_NETWORK)

    assert first_passage(output) == (source, heading)


@pytest.mark.parametrize("program", ["rag_langchain.py", "rag_llama_index.py"])
def test_rag_searches_any_folder(
    gateway: GatewayProcess, run: Run, program: str, tmp_path: Path
) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "zoo.md").write_text("# Zoo\n\n## Bears\n\nThey sleep in winter.\n")
    (tmp_path / "notes" / "sea.md").write_text("# Sea\n\n## Tides\n\nThe moon makes them.\n")
    output = example(
        run,
        program,
        *("--base-url", gateway.base_url, "--folder", "notes", "--top", "1"),
        "What causes high water?",
    )

    assert first_passage(output) == ("sea.md", "Tides")
    assert "2. " not in output


def test_openai_client_gets_the_same_vectors_both_ways(gateway: GatewayProcess, run: Run) -> None:
    output = example(run, "openai_client.py", "one", "two", EMBEDWAY_BASE_URL=gateway.base_url)
    rows = re.findall(
        r"text (\d): (\d+) dimensions, length ([\d.]+), .* (\S+)$", output, re.MULTILINE
    )

    assert rows == [("0", "384", "1.0000", "0.0e+00"), ("1", "384", "1.0000", "0.0e+00")]
    assert "model minilm, 6 tokens" in output


def test_offline_ranks_without_a_network(model_in_store: str, run: Run) -> None:
    output = example(run, "offline.py", "How are valleys made?", **NO_NETWORK)
    heading, *rows = output.splitlines()
    cosines = [float(row.split()[0]) for row in rows]

    assert heading.endswith("384 dimensions")
    assert rows[0].endswith("Glaciers carve valleys as they move.")
    assert cosines == sorted(cosines, reverse=True)
    assert len(rows) == 5


@pytest.mark.parametrize("way", ["gateway", "local"])
def test_heatmap_shows_which_sentences_mean_the_same(
    gateway: GatewayProcess, run: Run, tmp_path: Path, way: str
) -> None:
    base_url = gateway.base_url if way == "gateway" else "local"
    output = example(run, "heatmap.py", "--base-url", base_url, "--out", "map.png")
    lines = [line for line in output.splitlines() if line.startswith("Sentence")]
    cosines = [[float(value) for value in line.split()[2:]] for line in lines]

    assert [cosines[i][i] for i in range(3)] == [1.0, 1.0, 1.0]
    assert cosines[0][1] == cosines[1][0] > 0.5
    assert cosines[0][1] > max(cosines[0][2], cosines[1][2]) + 0.3
    require_picture(tmp_path / "map.png")


def test_heatmap_takes_texts(gateway: GatewayProcess, run: Run, tmp_path: Path) -> None:
    texts = ["red", "crimson", "tax", "law"]
    output = example(run, "heatmap.py", *texts, EMBEDWAY_BASE_URL=gateway.base_url)

    assert output.count("Sentence") == 4
    require_picture(tmp_path / "heatmap.png")


def require_picture(path: Path) -> None:
    """A PNG of plausible size with a picture in it."""
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert 5_000 < path.stat().st_size < 500_000
    with Image.open(path) as image:
        width, height = image.size
        colours = image.convert("RGB").getcolors(width * height)
    assert 300 < height <= width < 2000
    # Squares, a colour bar and smoothed letters; a blank picture has one colour.
    assert colours is not None
    assert len(colours) > 100


@pytest.mark.parametrize(
    "program", ["rag_langchain.py", "rag_llama_index.py", "openai_client.py", "heatmap.py"]
)
def test_an_example_says_when_no_gateway_is_there(run: Run, program: str) -> None:
    done = run(sys.executable, str(EXAMPLES / program), "--base-url", NOBODY)

    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_offline_says_when_the_model_is_not_there(run: Run) -> None:
    done = run(
        sys.executable, str(EXAMPLES / "offline.py"), "--model", "no/such-model", **NO_NETWORK
    )

    assert done.returncode == 1
    assert "could not be downloaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_examples_are_short_and_all_are_tested() -> None:
    found = {path.name: len(path.read_text("utf-8").splitlines()) for path in EXAMPLES.glob("*.py")}

    assert sorted(found) == [
        "heatmap.py",
        "offline.py",
        "openai_client.py",
        "rag_langchain.py",
        "rag_llama_index.py",
    ]
    assert max(found.values()) < 80
