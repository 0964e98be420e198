"""What runs in deployments of the stand-in: score.py in its own Python, or a TEI that is right."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from doubles import engine_ovms, engine_tei, engine_vllm
from doubles.conda_environment import conda_python
from doubles.oci_bucket import Bucket
from doubles.oci_cloud import COMPARTMENT, PROJECT, OCICloud
from doubles.oci_identity import write_api_key
from doubles.score_process import ScoreProcess
from doubles.score_service import ScoreService, load
from doubles.serving import served
from embedway_deploy.cloud import Cloud
from embedway_deploy.login import Login
from embedway_deploy.onnx.artifact import Conda
from embedway_deploy.onnx.plan import plan_onnx
from embedway_deploy.order import Bucket as Where
from embedway_deploy.order import Order
from embedway_deploy.plan import OCIPlace, Plan
from embedway_deploy.run import Run
from embedway_deploy.step import Shape
from embedway_deploy.tei.plan import TEI, plan_tei
from embedway_local import LocalEmbedder

IMAGE = "iad.ocir.io/tenancy/text-embeddings-inference:1.9.3"
CONDA = "oci://packs@tenancy/conda_environments/cpu/onnx/1.0/onnxruntime_p311_gpu_x86_64"


@dataclass(kw_only=True)
class TrueTEI(engine_tei.TEI):
    """A TEI with a real model; texts of more than `slow` words cannot be answered."""

    embedder: LocalEmbedder
    max_input_length: int = 100_000
    slow: int = 100_000

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if max(len(text.split()) for text in texts) > self.slow:
            raise engine_tei.Refused("Backend", "out of memory")
        return self.embedder.embed(list(texts), input_type=None)


@dataclass(kw_only=True)
class TrueOVMS(engine_ovms.OVMS):
    """An OVMS with a real model."""

    embedder: LocalEmbedder
    max_length: int = 100_000

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embedder.embed(list(texts), input_type=None)


@dataclass(kw_only=True)
class TrueVLLM(engine_vllm.VLLM):
    """A vLLM with a real model."""

    embedder: LocalEmbedder

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self.embedder.embed(list(texts), input_type=None)


@dataclass
class World:
    """
    A region, a user of it, and what was begun in its deployments.

    `embedder` is what a TEI serves. `isolated`: score.py has a Python of its own.
    """

    cloud: OCICloud
    config_file: Path
    folder: Path
    model: str
    embedder: LocalEmbedder
    isolated: bool = True
    longest: int = 100_000
    """Tokens that a TEI reads of a text."""
    slow: int = 100_000
    """Words of a text that a TEI can answer."""
    processes: list[ScoreProcess] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)

    @property
    def place(self) -> OCIPlace:
        return OCIPlace(
            region="us-ashburn-1",
            compartment_id=COMPARTMENT,
            project_id=PROJECT,
            service_endpoint=self.cloud.url,
        )

    def order(self, **changes: Any) -> Order:
        shape = Shape(name="VM.Standard.E4.Flex", ocpus=4, memory_gb=64)
        facts = {"model": self.model, "place": self.place, "shape": shape}
        facts |= {"bucket": Where("models", "tenancy")}
        return Order(**{**facts, **changes})

    def run(self, plan: Plan, **changes: Any) -> Run:
        """Without waiting: the stand-in's time is how often it is asked."""
        login = Login(config_file=str(self.config_file))
        cloud = Cloud(login.open(), plan.place)
        return Run(plan=plan, cloud=cloud, sleep=lambda _seconds: None, **changes)

    def serve(self, deployment: dict[str, Any], artifact: bytes) -> Any:
        details = deployment["modelDeploymentConfigurationDetails"]
        where = details["environmentConfigurationDetails"]
        if where["environmentConfigurationType"] == "DEFAULT":
            return self._score(deployment["id"], artifact)
        if where["image"].startswith("dsmc://odsc-vllm-serving:"):
            return self._vllm(where["environmentVariables"], json.loads(artifact))
        self.commands.append(where["cmd"])
        if "--config_path" in where["cmd"]:
            return self._ovms(where["cmd"], json.loads(artifact))
        path = where["cmd"][where["cmd"].index("--model-id") + 1]
        described = json.loads(artifact)
        objects = {
            f"/opt/ds/model/deployed_model/{one['name']}"
            for model in described["models"]
            for one in model["objects"]
        }
        wanted = {"config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json"}
        missing = {f"{path}{name}" for name in wanted} - objects
        assert not missing, "TEI would not find its model, or read too much of a text"
        batch = int(where["cmd"][where["cmd"].index("--max-batch-tokens") + 1])
        return TrueTEI(
            embedder=self.embedder,
            dimensions=self.embedder.dimensions,
            max_input_length=min(self.longest, batch),
            slow=self.slow,
        )

    def _vllm(self, environment: dict[str, str], described: dict[str, Any]) -> Any:
        objects = {one["name"] for model in described["models"] for one in model["objects"]}
        folder = environment["BASE_MODEL"]
        wanted = {"config.json", "modules.json", "1_Pooling/config.json", "model.safetensors"}
        missing = {f"{folder}/{name}" for name in wanted} - objects
        assert not missing, "vLLM would not find its model, or pool it otherwise"
        words = environment["PARAMS"].split()
        name = words[words.index("--served-model-name") + 1]
        size = self.embedder.dimensions
        return TrueVLLM(model=name, embedder=self.embedder, dimensions=size)

    def _ovms(self, command: list[str], described: dict[str, Any]) -> Any:
        path = command[command.index("--config_path") + 1].removesuffix("config.json")
        objects = {
            f"/opt/ds/model/deployed_model/{one['name']}".removeprefix(path)
            for model in described["models"]
            for one in model["objects"]
        }
        name = next(one for one in objects if one.endswith("/graph.pbtxt")).rpartition("/")[0]
        wanted = ("graph.pbtxt", "openvino_model.bin", "openvino_tokenizer.xml")
        missing = {"config.json", *(f"{name}/{one}" for one in wanted)} - objects
        assert not missing, "OVMS would not find its model"
        size = self.embedder.dimensions
        return TrueOVMS(model=name, embedder=self.embedder, dimensions=size)

    def _score(self, key: str, artifact: bytes) -> Any:
        folder = self.folder / f"{key}-{len(self.processes)}"
        zipfile.ZipFile(io.BytesIO(artifact)).extractall(folder)
        if not self.isolated:
            return ScoreService(load(folder).predict)
        process = ScoreProcess(folder, conda_python())
        self.processes.append(process)
        return ScoreService(process.predict)


@contextmanager
def deploying(
    folder: Path, model: str, embedder: LocalEmbedder, *, isolated: bool = True
) -> Iterator[World]:
    """An empty region with one bucket that keeps versions, and one image."""

    def serve(deployment: dict[str, Any], artifact: bytes) -> Any:
        return world.serve(deployment, artifact)

    cloud = OCICloud(serve)
    cloud.storage.buckets["models"] = Bucket()
    cloud.images["text-embeddings-inference"] = ("1.5.0", "1.9.3", None)
    keys = folder / "keys"
    keys.mkdir()
    world = World(cloud, write_api_key(keys), folder, model, embedder, isolated)
    with served(cloud) as url:
        cloud.url = url
        try:
            yield world
        finally:
            for process in world.processes:
                process.close()


Plans = Callable[..., Plan]
"""Of a world and changes of its order."""


def plan_of(engine: str, *, image: str = IMAGE, **server: Any) -> Plans:
    """Without the proof on this machine, which takes a second each time."""

    def make(world: World, **changes: Any) -> Plan:
        order = world.order(**changes)
        if engine == "tei":
            return plan_tei(order, tei=TEI(image=image, **server))
        plan = plan_onnx(order, conda=Conda(CONDA))
        steps = tuple(step for step in plan.steps if step.kind != "proof")
        return plan.model_copy(update={"steps": steps})

    return make
