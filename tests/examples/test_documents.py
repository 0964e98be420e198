"""What README and the pages in docs/ show runs, and what they state is so."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from doubles.gateway_process import GatewayProcess
from embedway_gateway.cli.app import application
from embedway_gateway.config.load import load_config
from embedway_gateway.config.schema import Config
from langchain_embedway import EmbedwayEmbeddings, EmbedwayRerank
from llama_index.embeddings.embedway import EmbedwayEmbedding
from llama_index.postprocessor.embedway import EmbedwayRerank as NodeRerank

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples" / "README.md",
]
WEB = ROOT / "gateway" / "embedway_gateway" / "web"

# A block is exempt when the line above it says why, or which other test runs it.
_BLOCK = re.compile(
    r"(<!-- (?:not run|run by \w+): [^>]+ -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\]\(([^)\s]+)\)")

Run = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(*languages: str) -> list[Block]:
    found = []
    for page in PAGES:
        whole = page.read_text("utf-8")
        for match in _BLOCK.finditer(whole):
            exempt, language, text = match.groups()
            if language in languages and not exempt:
                line = whole[: match.start(3)].count("\n") + 1
                found.append(Block(page, line, language, text))
    return found


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_python_block_runs(gateway: GatewayProcess, run: Run, block: Block) -> None:
    """In a process of its own; each `# → words` must be in what it prints."""
    text = block.text.replace("http://127.0.0.1:8080", gateway.root)
    done = run(sys.executable, "-c", text, EMBEDWAY_BASE_URL=gateway.base_url)

    assert done.returncode == 0, done.stderr
    for words in re.findall(r"# → (.+)$", block.text, re.MULTILINE):
        assert words in done.stdout


@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_a_shell_block_runs(gateway: GatewayProcess, run: Run, block: Block) -> None:
    if "curl" in block.text and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    text = block.text.replace("http://127.0.0.1:8080", gateway.root)
    done = run("bash", "-euo", "pipefail", "-c", text, EMBEDWAY_BASE_URL=gateway.base_url)

    assert done.returncode == 0, done.stderr
    assert '"error"' not in done.stdout


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_yaml_block_is_a_configuration(tmp_path: Path, block: Block) -> None:
    path = tmp_path / "embedway.yaml"
    path.write_text(block.text, "utf-8")
    named = re.findall(r"\$\{(\w+)\}", block.text)

    config = load_config(path, dict.fromkeys(named, "secret"))

    assert config.models or config.discovery


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_a_json_block_can_be_read(block: Block) -> None:
    """One document a line, as in a log, or one in all."""
    for text in block.text.splitlines() if block.text.startswith('{"') else [block.text]:
        assert json.loads(text)


def test_blocks_are_of_known_languages_and_most_are_run() -> None:
    """A block in a language that nobody runs, or a page full of exemptions, proves nothing."""
    everything = [match for page in PAGES for match in _BLOCK.finditer(page.read_text("utf-8"))]

    languages = {"bash", "javascript", "json", "python", "text", "yaml"}
    assert {match[2] for match in everything} == languages
    assert sum(1 for match in everything if (match[1] or "").startswith("<!-- not run")) <= 6
    assert len(blocks("python")) >= 12


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text("utf-8")))
    broken = [link for link in _LINK.findall(prose) if not _resolves(page, link)]

    assert broken == []


def _resolves(page: Path, link: str) -> bool:
    if link.startswith("https://"):
        return True
    name, _, anchor = link.partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not anchor or anchor in _anchors(target)


def _anchors(page: Path) -> set[str]:
    """The headings' names, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _BLOCK.sub("", page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_in_the_index_and_the_readme() -> None:
    """The index has them all, the README at least one of each of the index's parts."""
    docs = ROOT / "docs"
    index = (docs / "index.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    pages = [page.relative_to(docs).as_posix() for page in docs.rglob("*.md")]
    parts = [set(re.findall(r"\]\(([\w/-]+\.md)\)", part)) for part in index.split("\n## ")[1:]]

    assert [name for name in pages if name != "index.md" and f"({name})" not in index] == []
    assert [part for part in parts if not any(f"(docs/{name})" in readme for name in part)] == []
    assert len(parts) >= 5


def section(page: str, heading: str) -> str:
    """The text below a heading of level two or three, up to the next of either."""
    whole = (ROOT / "docs" / page).read_text("utf-8")
    found = re.search(
        rf"^##+ {re.escape(heading)}\n(.*?)(?=^##+ |\Z)", whole, re.MULTILINE | re.DOTALL
    )
    assert found, heading
    return found[1]


def rows(text: str) -> dict[str, list[str]]:
    """The cells of a table's rows, by each name in the first."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("| `"):
            name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", name), cells))
    return found


def test_configuration_has_a_section_for_every_part_of_the_file() -> None:
    for name in Config.model_fields:
        assert section("configuration.md", f"`{name}`")


def test_gateway_page_names_every_route(gateway: GatewayProcess) -> None:
    schema = yaml.safe_load(gateway.get("/openapi.json")[1])
    served = {
        f"{method.upper()} {re.sub(r'{.*}', '{id}', path)}"
        for path, methods in schema["paths"].items()
        for method in methods
    }

    assert set(rows(section("gateway.md", "Routes"))) == {
        *served,
        "GET /openapi.json",
        "GET /",
    }


def test_observability_page_names_every_metric(gateway: GatewayProcess) -> None:
    shown = re.findall(r"^# TYPE (\S+) (\w+)$", gateway.get("/metrics")[1].decode(), re.MULTILINE)

    assert set(metric_rows()) == {name for name, _ in shown}


def metric_rows() -> dict[str, list[str]]:
    found = rows(section("observability.md", "Metrics"))
    return {name: cells for name, cells in found.items() if name.startswith("embedway_")}


def test_observability_page_tells_what_to_do_about_every_alert() -> None:
    rules = yaml.safe_load((ROOT / "gateway" / "operations" / "alerts.yaml").read_text("utf-8"))
    alerts = {rule["alert"] for group in rules["groups"] for rule in group["rules"]}

    assert set(rows(section("observability.md", "Alerts"))) == alerts


def test_gateway_page_names_every_error_code() -> None:
    source = "\n".join(path.read_text("utf-8") for path in WEB.glob("*.py"))
    codes = set(re.findall(r'code="([a-z_]+)"', source))
    codes |= set(re.findall(r'_Row\(\d+, "\w+", "(\w+)"', source))
    documented = re.findall(r"`([a-z_]+)`", section("gateway.md", "Errors"))

    assert codes - set(documented) == set()


def test_gateway_page_names_every_response_header() -> None:
    source = "\n".join(path.read_text("utf-8") for path in WEB.glob("*.py"))
    sent = set(re.findall(r'(?:\(|^ +)b"(x-[a-z-]+|retry-after)"', source, re.MULTILINE))
    documented = {name.lower() for name in rows(section("gateway.md", "Response headers"))}

    assert documented == sent


def test_command_line_page_names_every_command_and_option() -> None:
    group = get_command(application())
    commands = group.commands  # type: ignore[attr-defined]

    assert sorted(commands) == [
        "bench",
        "check",
        "compare",
        "deploy",
        "embed",
        "eval",
        "keys",
        "models",
        "serve",
        "similarity",
        "usage",
    ]
    for name, command in commands.items():
        text = section("command-line.md", f"`embedway {name}`")
        for inner_name, inner in getattr(command, "commands", {"": command}).items():
            assert inner_name in text
            options = [option for item in inner.params for option in item.opts]
            missing = [
                option for option in options if option.startswith("-") and option not in text
            ]
            assert missing == []


def test_classes_page_names_every_keyword_of_both_classes() -> None:
    documented = list(rows(section("classes.md", "Keywords")))
    further = list(rows(section("classes.md", "More keywords of `EmbedwayEmbeddings`")))
    keywords = inspect.signature(EmbedwayEmbedding).parameters

    assert sorted(documented + further) == sorted(EmbedwayEmbeddings.model_fields)
    assert documented == [name for name in EmbedwayEmbeddings.model_fields if name in documented]
    assert documented == [name for name in keywords if name in documented]


def test_classes_page_names_every_keyword_of_llama_indexs_class() -> None:
    pages = ("Keywords", "More keywords of `EmbedwayEmbedding`")
    text = "".join(section("classes.md", name) for name in pages)
    keywords = [*inspect.signature(EmbedwayEmbedding.__init__).parameters][1:-1]

    assert [name for name in keywords if f"`{name}`" not in text] == []


def test_classes_page_names_every_keyword_of_the_rerankers() -> None:
    text = section("classes.md", "Reranking") + section("classes.md", "Reranking nodes")
    keywords = [*inspect.signature(NodeRerank.__init__).parameters][1:-1]
    named = [*EmbedwayRerank.model_fields, *keywords, "callback_manager"]

    assert [name for name in named if f"`{name}`" not in text] == []
