"""Importing the class is cheap, and drags in nothing that a client does not need."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

HEAVY = [
    *("fastapi", "oci", "ads", "onnxruntime", "litellm", "openai", "pandas"),
    *("aiohttp", "httpx", "numpy", "onnx", "starlette", "tokenizers", "torch", "embedway_gateway"),
]


def _run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "code",
    [
        "import langchain_embedway",
        "from langchain_embedway import EmbedwayEmbeddings",
        "from langchain_embedway import EmbedwayRerank",
        "from langchain_embedway import chat_model",
        "import embedway_client",
    ],
)
def test_importing_loads_nothing_heavy(code):
    assert _run(f"{code}; import sys; print([m for m in {HEAVY} if m in sys.modules])") == "[]"


def test_a_client_loads_no_server_and_no_runtime():
    code = (
        "from langchain_embedway import EmbedwayEmbeddings; EmbedwayEmbeddings(model='m');"
        f"import sys; print([m for m in {HEAVY} if m in sys.modules])"
    )

    assert _run(code) == "['numpy']"


def test_importing_takes_at_most_three_tenths_of_a_second():
    def seconds(code: str) -> float:
        started = time.perf_counter()
        _run(code)
        return time.perf_counter() - started

    seconds("import langchain_embedway")

    assert min(seconds("import langchain_embedway") for _ in range(5)) <= 0.3


def test_naming_the_class_loads_little_more_than_langchain_itself():
    code = (
        "import sys; import pydantic; from langchain_core.embeddings import Embeddings;"
        "before = set(sys.modules); from langchain_embedway import EmbedwayEmbeddings;"
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )

    assert _run(code) == "embedway_client langchain_embedway"
