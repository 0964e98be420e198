"""What README and the pages in docs/ show runs, and what they state is so."""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from typer.main import get_command

from doubles.gateway_process import GatewayProcess
from embedway_gateway.cli.app import application
from embedway_gateway.config.allowance import AllowanceConfig
from embedway_gateway.config.cache import MemoryCacheConfig, RedisCacheConfig
from embedway_gateway.config.credential import AICoreConfig, BearerConfig, OAuth2Config, OCIConfig
from embedway_gateway.config.discovery import AICoreDiscoveryConfig, OCIDiscoveryConfig
from embedway_gateway.config.limits import MemoryLimitsConfig, RedisLimitsConfig
from embedway_gateway.config.load import load_config
from embedway_gateway.config.oidc import ClaimsConfig, OIDCConfig
from embedway_gateway.config.schema import (
    Config,
    ModelConfig,
    ServerConfig,
    UpstreamConfig,
)
from embedway_gateway.config.usage import RedisUsageConfig, SQLiteUsageConfig
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples" / "README.md",
]
WEB = ROOT / "gateway" / "embedway_gateway" / "web"

# A block is exempt when the line above it says why.
_BLOCK = re.compile(r"(<!-- not run: [^>]+ -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
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


def test_blocks_are_of_known_languages_and_most_are_run() -> None:
    """A block in a language that nobody runs, or a page full of exemptions, proves nothing."""
    everything = [match for page in PAGES for match in _BLOCK.finditer(page.read_text("utf-8"))]

    assert {match[2] for match in everything} == {"bash", "python", "text", "yaml"}
    assert sum(1 for match in everything if match[1]) <= 5
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
    index = (ROOT / "docs" / "index.md").read_text("utf-8")
    readme = (ROOT / "README.md").read_text("utf-8")
    pages = [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "index.md"]

    assert [name for name in pages if f"({name})" not in index] == []
    assert [name for name in pages if f"(docs/{name})" not in readme] == []


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


@pytest.mark.parametrize(
    ("heading", "schema"),
    [
        ("`server`", ServerConfig),
        ("`bearer`", BearerConfig),
        ("`oci`", OCIConfig),
        ("`oauth2`", OAuth2Config),
        ("`aicore`", AICoreConfig),
        ("`oidc`", OIDCConfig),
        ("`claims`", ClaimsConfig),
        ("`models`", ModelConfig),
        ("`discovery` of type `oci`", OCIDiscoveryConfig),
        ("`discovery` of type `aicore`", AICoreDiscoveryConfig),
        ("`upstreams`", UpstreamConfig),
        ("`cache` of type `memory`", MemoryCacheConfig),
        ("`cache` of type `redis`", RedisCacheConfig),
        ("`limits` of type `memory`", MemoryLimitsConfig),
        ("`limits` of type `redis`", RedisLimitsConfig),
        ("Limits of keys and models", AllowanceConfig),
        ("`usage` of type `sqlite`", SQLiteUsageConfig),
        ("`usage` of type `redis`", RedisUsageConfig),
    ],
)
def test_configuration_names_every_key_with_its_default(
    heading: str, schema: type[BaseModel]
) -> None:
    documented = rows(section("configuration.md", heading))

    assert list(documented) == list(schema.model_fields)
    for name, (default, *_) in documented.items():
        field = schema.model_fields[name]
        if field.is_required():
            assert default.startswith("required"), name
        elif field.default is not None:
            known = TypeAdapter(_kind(field)).validate_python(yaml.safe_load(default.strip("`")))
            assert known == field.default, name


def _kind(field: FieldInfo) -> object:
    """The type of a key, with all that reads and bounds its value."""
    if not field.metadata:
        return field.annotation
    return Annotated[(field.annotation, *field.metadata)]  # type: ignore[return-value]


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

    assert set(rows(section("gateway.md", "Routes"))) == {*served, "GET /openapi.json"}


def test_gateway_page_names_every_metric(gateway: GatewayProcess) -> None:
    shown = re.findall(r"^# TYPE (\S+) (\w+)$", gateway.get("/metrics")[1].decode(), re.MULTILINE)

    assert set(rows(section("gateway.md", "Metrics"))) == {name for name, _ in shown}


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
        "embed",
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
    keywords = inspect.signature(EmbedwayEmbedding).parameters

    assert documented == list(EmbedwayEmbeddings.model_fields)
    assert documented == [name for name in keywords if name in documented]
