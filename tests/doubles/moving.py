"""What the lines of the migration guide talk to: servers with the real model, on every platform."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import litellm
import numpy as np
from numpy.typing import NDArray

from doubles.aicore_api import AICoreAPI
from doubles.bert_export import export
from doubles.engine_infinity import Infinity
from doubles.engine_tei import TEI
from doubles.infinity_process import pipeline
from doubles.oci_identity import KEY_ID, private_key, write_api_key
from doubles.oci_platform import OCIPlatform
from doubles.serving import served
from embedway_local import LocalEmbedder

OCI = "https://modeldeployment.us-ashburn-1.oci.customer-oci.com"
AICORE = "https://api.ai.prod.eu-central-1.aws.ml.hana.ondemand.com"
PLAIN = "http://127.0.0.1:8081"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"

_PARAGRAPH = "The ferry leaves the harbour at noon and reaches the far island before night falls. "
TEXTS = [
    "The mitochondrion makes the cell's energy.",
    "The Danube ends in the Black Sea.",
    "Bread rises because yeast gives off gas.",
    "Où est la gare ?",
    "naïve café, déjà vu",
    "日本語のテキスト",
    _PARAGRAPH * 12,
]


class _InOrder(random.Random):
    """Servers answer in order, though nothing says that they must."""

    def shuffle(self, x: Any) -> None:
        return None


class _WithMiniLM:
    """In the place of an engine's invented vectors."""

    embedder: LocalEmbedder

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embedder.embed(list(texts), input_type=None)


class _TEI(_WithMiniLM, TEI):
    pass


class _Infinity(_WithMiniLM, Infinity):
    pass


@dataclass
class Container:
    """TEI in OCI's container: whatever is posted to `/predict` is for its embeddings."""

    inner: TEI

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == "/predict":
            scope = {**scope, "path": "/v1/embeddings"}
        await self.inner(scope, receive, send)


@dataclass
class World:
    """`home` has the credentials of OCI and the models of the old classes."""

    home: Path
    tei: TEI
    oci: OCIPlatform
    urls: dict[str, str] = field(default_factory=dict)

    def here(self, code: str) -> str:
        """The code, with the addresses of the stand-ins."""
        for written, url in self.urls.items():
            code = code.replace(written, url)
        return code

    @property
    def environment(self) -> dict[str, str]:
        tokens = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
        url = self.urls[AICORE]
        return {
            **{key: value for key, value in os.environ.items() if key[:4] not in {"OCI_", "HF_H"}},
            "HOME": str(self.home),
            "FASTEMBED_CACHE_PATH": str(self.home / "fastembed"),
            # OpenAI's token list, which is downloaded otherwise, as LiteLLM brings it.
            "TIKTOKEN_CACHE_DIR": str(tokens),
            "AICORE_AUTH_URL": url,
            "AICORE_BASE_URL": f"{url}/v2",
            "AICORE_CLIENT_ID": "client",
            "AICORE_CLIENT_SECRET": "planted-secret",
            "AICORE_RESOURCE_GROUP": "default",
        }


@contextlib.contextmanager
def moving_world(home: Path, model: Path) -> Iterator[World]:
    """The servers; `model` is the folder of the default model's files."""
    (home / ".oci").mkdir()
    write_api_key(home / ".oci")
    (home / ".oci" / "config").chmod(0o600)
    _for_fastembed(model, home / "fastembed" / "models--Qdrant--all-MiniLM-L6-v2-onnx")
    pipeline(model, home / "pipeline", "pooling_mode_mean_tokens")
    with LocalEmbedder(MINILM, device="cpu") as embedder, contextlib.ExitStack() as stack:
        settings: dict[str, Any] = {"dimensions": 384, "rng": _InOrder()}
        tei = _TEI(max_input_length=10_000, **settings)
        infinity = _Infinity(prefix="/v1", **settings)
        tei.embedder = infinity.embedder = embedder
        oci = OCIPlatform(Container(tei), {KEY_ID: private_key().public_key()})
        aicore = AICoreAPI(engine=infinity)  # type: ignore[arg-type] - any application will do
        world = World(home, tei, oci)
        for written, app in ((OCI, oci), (PLAIN, tei), (AICORE, aicore)):
            world.urls[written] = stack.enter_context(served(app))
        aicore.add(1, world.urls[AICORE], name="c", model="minilm")
        yield world


def _for_fastembed(model: Path, cache: Path) -> None:
    """As if it had been downloaded from the hub."""
    revision = "0" * 40
    place = cache / "snapshots" / revision
    place.mkdir(parents=True)
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text(revision, "ascii")
    export(model, place / "model.onnx")
    for name in ("config.json", "tokenizer.json"):
        shutil.copy(model / name, place)
    settings = {"model_max_length": 256, "pad_token": "[PAD]"}
    (place / "tokenizer_config.json").write_text(json.dumps(settings), "ascii")
    (place / "special_tokens_map.json").write_text('{"pad_token": "[PAD]"}', "ascii")
