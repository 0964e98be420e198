"""Deployments of the guide's `score.py` on OCI, with the real model, behind a gateway."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from oci.signer import Signer

from doubles.bert_export import export
from doubles.oci_identity import FINGERPRINT, KEY_ID, TENANCY, USER, pem, private_key
from doubles.oci_platform import OCIPlatform
from doubles.score_service import ScoreService, load, unpack
from doubles.serving import served
from embedway_gateway.config.schema import Config
from embedway_gateway.model import Model
from embedway_gateway.web.app import create_app
from embedway_upstream.testing import fake_vectors

OCID = "ocid1.datasciencemodeldeployment.oc1.iad.xxx"


@dataclass
class ScoreWorld:
    """
    `tokens` answers a vector a token, `whole` one a text, and `strict` only looks at what it is
    sent. The gateway has each as a model, `tokens` by the pooling that it is set to.
    """

    tokens: ScoreService
    whole: ScoreService
    strict: ScoreService
    score: ModuleType
    """What runs in `tokens`."""
    key_file: Path
    platforms: dict[str, OCIPlatform] = field(default_factory=dict)
    urls: dict[str, str] = field(default_factory=dict)
    plain: str = ""
    """Where `tokens` is without OCI."""
    gateway: str = ""

    @property
    def services(self) -> dict[str, ScoreService]:
        return {"tokens": self.tokens, "whole": self.whole, "strict": self.strict}

    def reset(self) -> None:
        for service in self.services.values():
            service.reset()
        for platform in self.platforms.values():
            platform.verdicts.clear()

    def upstream(self, behind: str, **more: Any) -> dict[str, Any]:
        place = {"platform": "oci", "url": self.urls[behind], "credentials": "prod"}
        return {"name": "score", "engine": "onnx", **place, **more}

    def config(self, models: dict[str, list[dict[str, Any]]], **more: Any) -> Config:
        who = {"tenancy": TENANCY, "user": USER, "fingerprint": FINGERPRINT}
        login = {"type": "oci", **who, "key_file": str(self.key_file)}
        entries = [
            {"name": name, "dimensions": 384, "upstreams": upstreams, **more}
            for name, upstreams in models.items()
        ]
        return Config.model_validate({"credentials": {"prod": login}, "models": entries})

    def direct(self, pooling: str) -> dict[str, Any]:
        """Keywords of `direct`."""
        content = self.key_file.read_text("ascii")
        signer = Signer(TENANCY, USER, FINGERPRINT, None, private_key_content=content)
        place = {"model": "m", "url": self.urls["tokens"], "credentials": signer}
        return {**place, "engine": "onnx", "pooling": pooling}

    def alone(self, texts: list[str]) -> list[Any]:
        """Each text's token vectors, from the runtime without anything of ours."""
        session, tokenise = self.score.load_model(), self.score.tokenise
        return [session.run(None, tokenise([text]))[0][0] for text in texts]


@contextlib.contextmanager
def score_world(folder: Path, model: Path) -> Iterator[ScoreWorld]:
    """All of it, served; `model` is the real model's folder, `folder` an empty one."""
    world = _made(folder, model)
    keys = {KEY_ID: private_key().public_key()}
    with contextlib.ExitStack() as stack:
        for name, service in world.services.items():
            platform = world.platforms[name] = OCIPlatform(service, keys)
            world.urls[name] = f"{stack.enter_context(served(platform))}/{OCID}"
        world.plain = stack.enter_context(served(world.tokens))
        # Of its own, because the gateway asks again and again why it does not work.
        unset = OCIPlatform(ScoreService(world.tokens.predict), keys)
        world.urls["unset"] = f"{stack.enter_context(served(unset))}/{OCID}"
        models = {
            "unset": [world.upstream("unset")],
            "mean": [world.upstream("tokens", pooling="mean")],
            "cls": [world.upstream("tokens", pooling="cls")],
            "pooled": [world.upstream("whole")],
            "strict": [world.upstream("strict")],
        }
        app = create_app(world.config(models))
        world.gateway = stack.enter_context(served(app)) + "/v1"
        _wait_compared([app.models[name] for name in models if name != "unset"])
        yield world


def _wait_compared(models: list[Model], seconds: float = 60.0) -> None:
    """What the gateway asks of its own accord is asked before the tests count."""
    end = time.monotonic() + seconds
    while not all(model.reference and model.reference.known for model in models):
        assert time.monotonic() < end
        time.sleep(0.05)


def _made(folder: Path, model: Path) -> ScoreWorld:
    scores = {}
    for name in ("tokens", "whole"):
        place = folder / name
        target = unpack(place, tokenizer=model / "tokenizer.json")
        export(model, target, pooled=name == "whole")
        scores[name] = load(place)

    def look(data: Any) -> Any:
        scores["tokens"].check(data)
        vectors = fake_vectors(data["input"], 384)
        return {"data": [{"index": i, "embedding": v.tolist()} for i, v in enumerate(vectors)]}

    key_file = folder / "key.pem"
    key_file.write_bytes(pem(private_key()))
    return ScoreWorld(
        ScoreService(scores["tokens"].predict),
        ScoreService(scores["whole"].predict),
        ScoreService(look),
        scores["tokens"],
        key_file,
    )
