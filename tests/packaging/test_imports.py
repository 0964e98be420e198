"""Imports go one way, and importing a class costs little."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("ads", "fastapi", "litellm", "oci", "onnx", "onnxruntime", "openai", "pandas", "pyarrow"),
    *("starlette", "tokenizers", "torch", "transformers", "typer", "uvicorn"),
}


def python(tmp_path: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Isolated: neither the folder nor the environment adds to the path, as after installation."""
    return subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def loaded_by(tmp_path: Path, statement: str) -> set[str]:
    """The top-level modules that are loaded after a statement."""
    done = python(tmp_path, f"{statement}\nimport sys\nprint(*sys.modules)")
    assert done.returncode == 0, done.stderr
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_imports_go_one_way() -> None:
    command = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    assert command is not None
    done = subprocess.run(
        [command, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_the_llama_index_class_imports_the_client_only() -> None:
    """import-linter cannot see into a namespace package that others share."""
    folder = ROOT / "integrations" / "llama_index"
    modules = {
        name.partition(".")[0]
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        for name in _imported(node)
    }

    assert {name for name in modules if "embedway" in name} <= {
        "embedway_client",
        "embedway_upstream",
    }


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


@pytest.mark.parametrize(
    "statement",
    [
        "import langchain_embedway",
        "from langchain_embedway import EmbedwayEmbeddings",
        "import litellm_embedway",
        "import mteb_embedway",
        "import embedway_client",
        "import embedway_deploy",
        "from embedway_client import Client",
        "import embedway_upstream",
        "import embedway_upstream.testing",
    ],
)
def test_an_import_loads_nothing_heavy(tmp_path: Path, statement: str) -> None:
    assert loaded_by(tmp_path, statement) & HEAVY == set()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (
            "from llama_index.core.base.embeddings.base import BaseEmbedding",
            "from llama_index.embeddings.embedway import EmbedwayEmbedding",
        ),
        (
            "from llama_index.core.postprocessor.types import BaseNodePostprocessor",
            "from llama_index.postprocessor.embedway import EmbedwayRerank",
        ),
    ],
)
def test_a_llama_index_class_adds_nothing_heavy(tmp_path: Path, theirs: str, ours: str) -> None:
    """LlamaIndex loads much itself; what counts is what comes on top."""
    assert (loaded_by(tmp_path, ours) - loaded_by(tmp_path, theirs)) & HEAVY == set()


def test_upstreams_need_no_web_framework_and_no_model(tmp_path: Path) -> None:
    ours = {name for name in loaded_by(tmp_path, "import embedway_upstream") if "embedway" in name}

    assert ours - {name for name in ours if name.startswith("__editable")} == {"embedway_upstream"}


def test_the_local_runtime_knows_nobody(tmp_path: Path) -> None:
    loaded = loaded_by(tmp_path, "import embedway_local")

    assert {name for name in loaded if name.startswith("embedway_")} == {"embedway_local"}
    assert loaded & {"onnx", "torch", "transformers", "fastapi", "httpx", "aiohttp"} == set()


def test_the_catalogue_needs_no_runtime(tmp_path: Path) -> None:
    """A gateway without the extra `local` asks it for prompts."""
    loaded = loaded_by(tmp_path, "from embedway_local import known; assert known('minilm')")

    assert loaded & {"numpy", "tokenizers", "onnxruntime", "safetensors", "filelock"} == set()


@pytest.mark.parametrize(
    "root", ["gateway", "integrations", "local_runtime", "tests", "examples", "doubles"]
)
def test_a_source_root_is_no_package(tmp_path: Path, root: str) -> None:
    done = python(tmp_path, f"import {root}")

    assert done.returncode == 1
    assert f"No module named '{root}'" in done.stderr


def test_a_plan_is_read_without_a_cloud(tmp_path: Path) -> None:
    """Neither the SDK nor ADS is needed before something is asked of OCI."""
    statement = (
        "from embedway_deploy import Cloud, Login, Order, Plan, Run, apply, plan_onnx, plan_tei"
    )

    assert loaded_by(tmp_path, statement) & {"ads", "oci", "pandas", "onnx", "fastapi"} == set()


def test_litellm_is_loaded_where_it_serves_and_nowhere_else(tmp_path: Path) -> None:
    """Its import costs seconds: not even a gateway that will use it does so at the start."""
    made = (
        "from embedway_gateway.config.schema import Config\n"
        "from embedway_gateway.web.app import create_app\n"
        "up = {'name': 'up', 'engine': 'litellm', 'model': 'cohere/embed-v4.0'}\n"
        "model = {'name': 'm', 'dimensions': 8, 'upstreams': [up]}\n"
        "create_app(Config.model_validate({'models': [model]}))"
    )

    assert loaded_by(tmp_path, made) & {"litellm", "openai"} == set()


def test_the_command_starts_without_its_parts(tmp_path: Path) -> None:
    """`embedway --help` waits for neither a web server nor a model."""
    code = "from embedway_gateway.cli.app import application\napplication()"
    loaded = loaded_by(tmp_path, code)

    assert loaded & {"fastapi", "uvicorn", "onnxruntime", "numpy", "pyarrow", "aiohttp"} == set()
