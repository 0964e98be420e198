"""`embedway deploy`: from nothing to a vector that the gateway serves, and everything it prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openai
import pytest
import yaml
from oci.signer import Signer
from typer.testing import CliRunner, Result

from doubles.oci_cloud import COMPARTMENT, PROJECT
from doubles.oci_deployed import CONDA, IMAGE, World
from doubles.oci_identity import FINGERPRINT, TENANCY, USER, pem, private_key
from doubles.serving import served
from embedway_deploy.plan import load_plan
from embedway_gateway.cli.app import application
from embedway_gateway.config.schema import Config
from embedway_gateway.discovery import Found, OCISource, control_plane
from embedway_gateway.web.app import create_app
from embedway_gateway.wire import WireTransport
from embedway_upstream.credentials.accept import credentials_from

TEXTS = ["The car sped down the highway.", "A vehicle raced along.", "word " * 700]
Run = Callable[..., Result]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(application(), ["deploy", *arguments])


def options(world: World, engine: str) -> list[str]:
    where = ["--region", "us-ashburn-1", "--compartment-id", COMPARTMENT, "--project-id", PROJECT]
    where += ["--service-endpoint", world.cloud.url, "--bucket", "oci://models@tenancy"]
    own = ["--conda-env", CONDA] if engine == "onnx" else ["--image", IMAGE]
    return [engine, world.model, *where, *own]


def who(world: World) -> list[str]:
    return ["--config-file", str(world.config_file)]


@pytest.mark.parametrize("engine", ["onnx", "tei"])
async def test_from_nothing_to_a_vector_through_the_gateway(
    real: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    done = run(*options(real, engine), "--name", f"{engine}-test", "--yes", *who(real))

    assert 0 == done.exit_code, done.output
    assert [] == real.cloud.refused
    pasted = yaml.safe_load(done.stdout.partition("by its tag:\n\n")[2])
    config = Config.model_validate(pasted)
    with (
        served(create_app(config)) as url,
        openai.OpenAI(base_url=f"{url}/v1", api_key="unused") as client,
    ):
        answer = client.embeddings.create(model=real.model, input=TEXTS)
    found = np.array([item.embedding for item in answer.data])
    wanted = real.embedder.embed(TEXTS)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    names = await discovered(real)
    assert [(real.model, engine, 384)] == names
    if engine == "onnx":
        assert real.processes[0].modules.isdisjoint({"embedway_deploy", "transformers", "ads"})
    else:
        assert real.cloud.storage.parts >= 2, "90 MB are sent in parts"
        assert run("destroy", f"{engine}-test", "--yes", *who(real)).exit_code == 0
        assert [] == real.cloud.remains


async def discovered(world: World) -> list[tuple[str, str, int | None]]:
    return [(one.name, one.engine, one.dimensions) for one in await listed(world)]


async def listed(world: World) -> Sequence[Found]:
    key = pem(private_key()).decode()
    signer = Signer(TENANCY, USER, FINGERPRINT, None, private_key_content=key)
    credentials, transport = credentials_from(signer), WireTransport()
    credentials.refresh()
    try:
        source = OCISource(
            endpoint=control_plane("", world.cloud.url),
            compartment_id=COMPARTMENT,
            credentials=credentials,
            transport=transport,
        )
        return await source.list()
    finally:
        await transport.close()


@pytest.mark.parametrize("engine", ["onnx", "tei"])
def test_a_dry_run_touches_nothing_and_tells_all(world: World, engine: str) -> None:
    done = run(*options(world, engine), "--group", "ml", "--dynamic-group", "md", "--dry-run")

    assert 0 == done.exit_code, done.output
    assert [] == world.cloud.seen
    told = done.stdout
    for words in (
        "VM.Standard.E4.Flex" if engine == "onnx" else "VM.GPU.A10.1",
        "Allow group ml to manage data-science-model-deployments",
        "Allow dynamic-group md to read",
        "by the hour",
        "tag embedway: tiny, engine=",
        "tokenizer.json",
        "bytes",
    ):
        assert words in told
    if engine == "tei":
        assert "MODEL_DEPLOY_PREDICT_ENDPOINT: /v1/embeddings" in told
        assert "--served-model-name tiny" in told
        assert "--max-client-batch-size 32" in told
    else:
        assert "score.py" in told


def test_a_plan_is_kept_applied_looked_at_and_removed(world: World, tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    printed = run(*options(world, "onnx"), "--yaml", "--out", str(path))
    assert load_plan(path).dump() == printed.stdout
    assert 0 == run("verify", str(path)).exit_code
    assert 1 == run("status", str(path), *who(world)).exit_code

    applied = run("apply", str(path), "--yes", *who(world))

    assert 0 == applied.exit_code, applied.output
    assert "deployment: made, tiny (ONNX), ACTIVE" in applied.stdout
    looked = run("status", "onnx-tiny", *who(world))
    assert 0 == looked.exit_code
    assert "ACTIVE" in looked.stdout
    again = run("apply", "onnx-tiny", "--yes", *who(world))
    assert "deployment: was there" in again.stdout
    assert "names no log" in run("logs", "onnx-tiny", *who(world)).stderr
    removed = run("destroy", "onnx-tiny", "--yes", *who(world))
    assert ["deployment: removed", "model: removed"] == removed.stdout.splitlines()
    assert [] == world.cloud.remains


@pytest.mark.parametrize(
    ("asked", "dtype", "precision"),
    [((), "float16", "fp16"), (("--dtype", "float32"), "float32", "fp32")],
)
async def test_the_number_format_is_stated_everywhere(
    world: World, asked: tuple[str, ...], dtype: str, precision: str
) -> None:
    """On a GPU, as TEI would choose: in the command, the lines to paste, and what is found."""
    done = run(*options(world, "tei"), *asked, "--yes", *who(world))

    assert 0 == done.exit_code, done.output
    (words,) = world.commands
    assert dtype == words[words.index("--dtype") + 1]
    config = Config.model_validate(yaml.safe_load(done.stdout.partition("by its tag:\n\n")[2]))
    assert precision == config.models[0].upstreams[0].precision
    assert [precision] == [one.precision or "fp32" for one in await listed(world)]


@pytest.mark.parametrize(
    ("options_of", "words"),
    [(("--shape", "VM.Standard.E4.Flex"), "has no GPU, which TEI needs for float16")],
)
def test_a_number_format_that_the_server_has_not(
    world: World, options_of: tuple[str, ...], words: str
) -> None:
    done = run(*options(world, "tei"), *options_of, "--dtype", "float16", "--dry-run")

    assert (1, True) == (done.exit_code, words in done.stderr)


def test_less_agreement_is_another_precision(world: World) -> None:
    done = run(*options(world, "onnx"), "--agreement", "0.97", "--dry-run")

    assert "int8 vectors are another vector space than the model's" in done.stdout
    assert "precision=int8" in done.stdout


def test_several_endpoints(world: World) -> None:
    done = run(
        *options(world, "tei"), "--endpoints", "openai", "--yes", *who(world), "--name", "several"
    )

    assert 0 == done.exit_code, done.output
    (deployment,) = world.cloud.deployments.values()
    details = deployment["modelDeploymentConfigurationDetails"]["environmentConfigurationDetails"]
    assert "openai" == details["predictApiSpecification"]
    assert "MODEL_DEPLOY_PREDICT_ENDPOINT" not in details["environmentVariables"]
    assert any(path.endswith("/predict/v1/embeddings") for _, path in world.cloud.seen)


@pytest.mark.parametrize("stated", [True, False])
def test_another_pooling_is_deployed_and_compared(world: World, stated: bool) -> None:
    """Another one than the folder's, and one where the folder says none."""
    if not stated:
        (Path(world.model) / "1_Pooling" / "config.json").unlink()

    done = run(*options(world, "onnx"), "--pooling", "cls", "--yes", *who(world))

    assert 0 == done.exit_code, done.output
    assert "worst cosine with the local runtime 1.000000" in done.stdout


@pytest.mark.parametrize("engine", ["onnx", "tei", "ovms", "aqua", "infinity"])
def test_a_name_is_never_a_path(world: World, tmp_path: Path, engine: str) -> None:
    """What was under `--name` plus the folder that is prepared was removed, even by --dry-run."""
    project = tmp_path / "project"
    for folder in ("model", "models", "artifact", "aicore"):
        (project / folder).mkdir(parents=True)
        (project / folder / "mine.txt").write_text("mine", "utf-8")
    asked = options(world, engine)
    if engine == "infinity":
        asked = [engine, world.model, "--image", "registry.example.com/infinity:0.0.77"]
        asked += ["--object-store", "store", "--api-url", world.cloud.url]
    before = {path: path.is_file() for path in tmp_path.rglob("*")}

    for name in (str(project), "../project", "MiniLM"):
        done = run(*asked, "--name", name, "--dry-run")

        assert (1, True) == (done.exit_code, "as --name minilm-test" in done.stderr), done.output
        assert isinstance(done.exception, SystemExit)
    assert before == {path: path.is_file() for path in tmp_path.rglob("*")}


def test_nobody_to_ask_is_told_what_to_add(world: World) -> None:
    done = run(*options(world, "onnx"), *who(world))

    assert 2 == done.exit_code
    assert "add --yes" in done.stderr
    assert [] == world.cloud.changes


def test_errors_are_a_message_and_an_exit_code(world: World) -> None:
    done = run("status", "no-such-plan", *who(world))

    assert 1 == done.exit_code
    assert "neither a file nor a plan that was applied from here" in done.stderr
    flexible = run(*options(world, "onnx"), "--shape", "VM.GPU.A10.1", "--ocpus", "2", "--dry-run")
    assert (1, True) == (flexible.exit_code, "has a fixed size" in flexible.stderr)


def test_a_container_has_nothing_to_verify_here(world: World, tmp_path: Path) -> None:
    run(*options(world, "tei"), "--dry-run", "--out", str(tmp_path / "plan.yaml"))

    done = run("verify", str(tmp_path / "plan.yaml"))

    assert (1, True) == (done.exit_code, "its server is a container" in done.stderr)
