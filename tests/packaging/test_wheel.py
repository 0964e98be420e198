"""The wheel holds the packages, all of them, and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from email.message import Message
from email.parser import HeaderParser
from pathlib import Path

import pytest

DEPLOYED = {
    "embedway_deploy/infinity/Dockerfile",
    "embedway_deploy/infinity/run.sh",
    "embedway_deploy/onnx/request-schema.json",
}
ROOT = Path(__file__).parents[2]
PACKAGES = [
    "embedway_client",
    "embedway_deploy",
    "embedway_gateway",
    "embedway_local",
    "embedway_upstream",
    "langchain_embedway",
    "litellm_embedway",
    "llama_index/embeddings/embedway",
    "llama_index/postprocessor/embedway",
    "mteb_embedway",
]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as a user's pip would, with what is installed here already."""
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "build", "--wheel", "--no-isolation"),
            *("--outdir", str(out), str(ROOT)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(archive.read(name).decode())


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_top_level_is_the_packages(names: list[str]) -> None:
    tops = {name.partition("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == {
        package.partition("/")[0] for package in PACKAGES
    }
    assert sum(1 for top in tops if top.endswith(".dist-info")) == 1


def test_the_wheel_has_every_source_file(names: list[str]) -> None:
    sources = {
        path.relative_to(ROOT / root).as_posix()
        for root in ("gateway", "integrations", "local_runtime")
        for path in (ROOT / root).rglob("*.py")
    }

    assert {name for name in names if name.endswith(".py")} == sources


def test_every_package_is_typed(names: list[str]) -> None:
    for package in PACKAGES:
        assert f"{package}/__init__.py" in names
        assert f"{package}/py.typed" in names


def test_llama_index_stays_a_namespace(names: list[str]) -> None:
    """One `__init__.py` above the leaf would hide LlamaIndex itself."""
    assert "llama_index/__init__.py" not in names
    assert "llama_index/embeddings/__init__.py" not in names
    assert "llama_index/postprocessor/__init__.py" not in names


def test_there_is_nothing_else_in_it(names: list[str]) -> None:
    stray = [
        name
        for name in names
        if ".dist-info/" not in name
        and not name.startswith("embedway_local/retrieval/")
        and not name.startswith("embedway_gateway/web/console/static/")
        and name not in {"embedway_local/catalogue.json", *DEPLOYED}
        and not name.endswith((".py", "/py.typed"))
    ]

    assert stray == []
    assert not any("test" in name.split("/")[:-1] for name in names)


def test_the_licence_is_in_it(names: list[str], metadata: Message) -> None:
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert metadata["License-Expression"] == "Apache-2.0"


def test_the_retrieval_set_is_in_it(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        found = set(archive.namelist())

    for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv"):
        assert f"embedway_local/retrieval/{name}" in found


def test_the_console_is_in_it(names: list[str]) -> None:
    folder = "embedway_gateway/web/console/static"
    files = {f"{folder}/{path.name}" for path in (ROOT / "gateway" / folder).iterdir()}

    assert f"{folder}/index.html" in files
    assert {name for name in names if name.startswith(folder)} == files


def test_the_command_is_declared(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        text = archive.read(name).decode()

    assert "[console_scripts]\nembedway = embedway_gateway.cli:main" in text


def test_the_extras_are_there(metadata: Message) -> None:
    assert sorted(metadata.get_all("Provides-Extra", [])) == [
        "all",
        "deploy",
        "deploy-ovms",
        "eval",
        "gateway",
        "gpu",
        "gpu-cu12",
        "langchain",
        "litellm",
        "llama-index",
        "local",
        "oci",
        "oidc",
        "openvino",
        "otel",
        "parquet",
        "plot",
        "ray",
        "redis",
    ]


def test_the_bare_install_is_light(metadata: Message) -> None:
    required = metadata.get_all("Requires-Dist", [])
    bare = sorted(item.partition(">")[0] for item in required if "extra ==" not in item)

    assert bare == ["httpx", "msgspec", "numpy"]


def test_all_has_one_onnx_runtime(project: dict[str, object]) -> None:
    """
    `gpu`, `openvino` and `local` overwrite each other's files, so `all` can hold only one; and
    `eval` brings PyTorch, `ray` a cluster.
    """
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    (everything,) = extras["all"]
    inside = everything.partition("[")[2].rstrip("]").split(",")

    # ADS brings pandas and more, 300 MB: whoever deploys asks for it.
    apart = {"all", "deploy", "deploy-ovms", "eval", "gpu", "gpu-cu12", "openvino", "ray"}
    assert sorted(inside) == sorted(set(extras) - apart)


@pytest.mark.parametrize("extra", ["gpu", "gpu-cu12"])
def test_for_a_card_the_libraries_of_cuda_take_the_place_of_the_processors_runtime(
    project: dict[str, object], extra: str
) -> None:
    """Both bring what `local` does; what CUDA's provider names comes with it, cuBLAS above all."""

    def names(of: str) -> set[str]:
        extras = project["optional-dependencies"]
        assert isinstance(extras, dict)
        return {re.split(r"[<>=;\[ ]", item)[0] for item in extras[of]}

    found = names(extra)
    cuda = {name.removesuffix("-cu12") for name in found if name.startswith("nvidia-")}

    assert found - names("local") - {"onnxruntime-gpu"} == {
        name for name in found if name.startswith("nvidia-")
    }
    assert names("local") - found == {"onnxruntime"}
    assert cuda >= {"nvidia-cublas", "nvidia-cuda-runtime", "nvidia-curand"}
    assert (cuda >= {"nvidia-cudnn", "nvidia-cufft"}) == (extra == "gpu-cu12")


def test_the_readme_is_its_description(metadata: Message) -> None:
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert str(metadata.get_payload()).startswith("# Embedway")
