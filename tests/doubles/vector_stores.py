"""Searches through LangChain's vector stores, in a Python that has them all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from doubles.environment import constrained
from embedway_local.retrieval_set import RetrievalSet

HAS_POSTGRES = sys.version_info < (3, 13)
"""Its wheel, which has pgvector in it, is for no later Python."""
STORES = ("memory", "faiss", "chroma", "qdrant", *(("pgvector",) if HAS_POSTGRES else ()))

_ROOT = Path(__file__).parents[2]
_SCRIPT = Path(__file__).with_name("vector_stores_script.py")
_PACKAGES = (
    *("langchain-chroma", "langchain-community", "faiss-cpu", "langchain-qdrant"),
    *(("langchain-postgres", "pgserver") if HAS_POSTGRES else ()),
    *("httpx", "msgspec", "numpy"),
)


def vector_stores_python() -> Path:
    """The interpreter; see `apart`."""
    return constrained("vector-stores", *_PACKAGES)


def search(whole: RetrievalSet, model: str, base_url: str, place: Path) -> dict[str, Any]:
    """
    By store and by way of asking, "sync" or "async": by query the passages found, the best first.

    `place` is an empty folder.
    """
    python = vector_stores_python()
    task = {
        "stores": STORES,
        "corpus": dict(whole.corpus),
        "queries": dict(whole.queries),
        "model": model,
        "base_url": base_url,
        "place": str(place),
    }
    path = os.pathsep.join(str(_ROOT / name) for name in ("gateway", "integrations"))
    # What is imported is large: it is compiled once and for all.
    quiet = {"ANONYMIZED_TELEMETRY": "False", "PYTHONWARNINGS": "ignore"}
    quiet["PYTHONDONTWRITEBYTECODE"] = ""
    done = subprocess.run(
        [str(python), str(_SCRIPT)],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **quiet, "PYTHONPATH": path},
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr[-4000:])
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
