"""The command and a real Ray with two workers: whatever dies, the file is the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from doubles.gateway_process import GatewayProcess
from doubles.ray_cluster import RayCluster, running_cluster
from embedway_gateway.cli.app import application
from embedway_local import LocalEmbedder

ROOT = Path(__file__).parents[3]
# With two workers four chunks are under way at once.
RAY = ("--engine", "ray", "--workers", "2", "--cpus-per-worker", "0.5")
HIDDEN = """
class Worker:
    def __init__(self, order): ...
    def start(self): ...
"""
UNFIT = """
import sys
sys.path.append("hidden")
import only_here
from embedway_gateway.bulk.ray.cluster import connected
with connected(sys.argv[1]):
    from embedway_gateway.bulk.ray import pool, worker
    for model in ("no/such-model", "any"):
        order = worker.Order(model=model, base_url="local", api_key=None, dimensions=None,
            precision="fp32", cpus=0.5, gpus=0)
        try:
            pool.Pool(order, count=1, grows=True, say=print).encode(["a"], input_type="document")
        except Exception as error:
            print(type(error).__name__, error, *getattr(error, "__notes__", ()))
        pool.Worker = only_here.Worker
"""


@pytest.fixture(scope="module")
def cluster(model_in_store: str) -> Iterator[RayCluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture(scope="module")
def embedder(model_in_store: str) -> Iterator[LocalEmbedder]:
    with LocalEmbedder(model_in_store) as opened:
        yield opened


def texts(count: int) -> list[str]:
    return [
        f"Sentence {index} is about {index % 7} and about {index % 11}." for index in range(count)
    ]


def written(path: Path, lines: list[str]) -> Path:
    path.write_text(
        "".join(json.dumps({"key": f"k{i}", "text": t}) + "\n" for i, t in enumerate(lines))
    )
    return path


def embed(cluster: RayCluster, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return cluster.run("-m", "embedway_gateway", "embed", *arguments, folder=folder)


def ended(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return said


def parts(out: Path) -> set[str]:
    return {path.name for path in out.with_name(f"{out.name}.parts").glob("part-*")}


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def require(out: Path, lines: list[str], embedder: LocalEmbedder) -> None:
    """Every text once, in order, with the local runtime's vector, and of a known space."""
    table = pq.read_table(out)
    assert table["id"].to_pylist() == [f"k{index}" for index in range(len(lines))]
    vectors = np.stack(table["embedding"].to_numpy())
    assert np.abs(vectors - embedder.embed(lines)).max() < 1e-5
    space = table.schema.metadata[b"embedway.vector_space"].decode()
    assert space == embedder.space.fingerprint
    assert not out.with_name(f"{out.name}.parts").exists()


def test_a_worker_that_is_killed_costs_no_text(
    cluster: RayCluster, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    written(tmp_path / "in.jsonl", lines := texts(1000))
    out = tmp_path / "out.parquet"

    options = ("--out", "out.parquet", "--id-field", "key", "--batch-size", "16")
    process = embed(cluster, tmp_path, "in.jsonl", *options, *RAY)
    wait_for(lambda: len(parts(out)) >= 4 and len(cluster.workers()) == 2, process)
    # Not one that is still starting: it had no texts.
    at_work: list[psutil.Process] = []
    wait_for(lambda: at_work.extend(cluster.workers(doing=".encode")) or at_work, process)
    victim = at_work[0]
    # What it has begun it does not finish, however fast this machine is.
    victim.suspend()
    assert len(parts(out)) < 50
    victim.kill()
    said = ended(process)

    assert "A worker died and was started again" in said
    assert "1,000 vectors of 384 numbers" in said
    assert "Traceback" not in said
    require(out, lines, embedder)


def test_what_a_killed_driver_finished_is_gone_on_with_by_the_other_engine(
    cluster: RayCluster, embedder: LocalEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "in.jsonl", lines := texts(1000))
    out = tmp_path / "out.parquet"
    options = ("in.jsonl", "--out", "out.parquet", "--id-field", "key", "--batch-size", "16")

    process = embed(cluster, tmp_path, *options, *RAY)
    wait_for(lambda: len(parts(out)) >= 4, process)
    process.kill()
    process.communicate()
    kept = parts(out)
    monkeypatch.chdir(tmp_path)
    result = invoke(*options, "--resume")

    assert 4 <= len(kept) < 63
    assert (
        f"{sum(int(name.split('-')[2]) for name in kept):,} of them by an earlier" in result.stderr
    )
    require(out, lines, embedder)


def test_what_this_process_began_is_gone_on_with_by_workers_through_a_gateway(
    cluster: RayCluster,
    embedder: LocalEmbedder,
    gateway: GatewayProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = written(tmp_path / "in.jsonl", texts(100))
    whole = path.read_text()
    path.write_text(whole[:-20])
    options = ("in.jsonl", "--out", "out.parquet", "--id-field", "key", "--batch-size", "32")
    monkeypatch.chdir(tmp_path)
    assert "96 texts are done and kept" in invoke(*options).stderr
    path.write_text(whole)

    said = ended(
        embed(cluster, tmp_path, *options, *RAY, "--resume", "--base-url", gateway.base_url)
    )

    assert "100 vectors of 384 numbers, 96 of them by an earlier run" in said
    require(tmp_path / "out.parquet", texts(100), embedder)


def test_a_worker_without_the_model_or_the_package_says_so(
    cluster: RayCluster, tmp_path: Path
) -> None:
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "only_here.py").write_text(HIDDEN)

    said = ended(cluster.run("-c", UNFIT, cluster.address, folder=tmp_path))

    assert "ModelNotFound no/such-model is not on this machine" in said
    assert "This was said by a worker on node" in said
    assert "WorkerFailed a worker lacks a package: No module named 'only_here'" in said
    assert (
        'Every node needs what this machine has, in the same version: pip install "embedway' in said
    )


def test_a_pipeline_of_ray_data_embeds(
    cluster: RayCluster, embedder: LocalEmbedder, tmp_path: Path
) -> None:
    """The block of docs/bulk.md."""
    page = (ROOT / "docs" / "bulk.md").read_text("utf-8")
    written(tmp_path / "passages.jsonl", lines := texts(60))

    ended(cluster.run("-c", page.split("```python\n")[1].split("```")[0], folder=tmp_path))

    table = pq.read_table(tmp_path / "vectors").to_pylist()
    vectors = {row["key"]: np.array(row["embedding"]) for row in table}
    expected = embedder.embed(lines)
    assert len(table) == 60
    for index in range(60):
        assert np.abs(vectors[f"k{index}"] - expected[index]).max() < 1e-5


def test_an_actor_whose_model_is_another_refuses_to_begin(model_in_store: str) -> None:
    from embedway_local.error import SpaceDiffers
    from embedway_local.ray import Embed

    with pytest.raises(SpaceDiffers, match="every node must have the same files"):
        Embed(model_in_store, cpus=1, vector_space="vs1-another")


def test_a_cluster_that_is_not_there_is_one_message(cluster: RayCluster, tmp_path: Path) -> None:
    written(tmp_path / "in.jsonl", texts(1))
    process = embed(
        cluster, tmp_path, "in.jsonl", "--out", "o.npy", *RAY, "--ray-address", "127.0.0.1:9"
    )

    said, _ = process.communicate(timeout=60)

    assert process.returncode == 1
    assert said.startswith("Ray at 127.0.0.1:9 cannot be reached (Connection refused); give")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    path = written(tmp_path / "in.jsonl", texts(1))

    result = invoke(str(path), "--out", str(tmp_path / "o.npy"), *RAY)

    assert result.exit_code == 1
    assert 'ray is not installed, and this needs it: pip install "embedway[ray]"' in result.stderr


def test_rays_options_need_its_engine(tmp_path: Path) -> None:
    path = written(tmp_path / "in.jsonl", texts(1))

    result = invoke(str(path), "--out", str(tmp_path / "o.npy"), "--workers", "2")

    assert result.exit_code == 2
    assert "--engine ray" in result.stderr


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["embed", *arguments])
