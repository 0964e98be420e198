"""What `embedway deploy` says before it asks: where, which ids, and what becomes of each."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from doubles.oci_cloud import COMPARTMENT, PROJECT
from doubles.oci_deployed import IMAGE, World
from embedway_deploy.plan import load_plan
from embedway_gateway.cli.app import application

PRODUCTION = "ocid1.compartment.oc1..production"


def run(world: World, *arguments: str) -> Result:
    login = ["--config-file", str(world.config_file)]
    return CliRunner().invoke(application(), ["deploy", *arguments, *login])


def tei(world: World, compartment: str = COMPARTMENT, *more: str) -> list[str]:
    where = ["--region", "us-ashburn-1", "--compartment-id", compartment, "--project-id", PROJECT]
    where += ["--service-endpoint", world.cloud.url, "--bucket", "oci://models@tenancy"]
    return ["tei", world.model, "--image", IMAGE, *where, *more]


def test_a_live_deployment_of_the_same_name_is_told_before_it_is_updated(world: World) -> None:
    assert 0 == run(world, *tei(world), "--yes").exit_code
    (key,) = world.cloud.deployments
    before = list(world.cloud.changes)

    done = run(world, *tei(world, COMPARTMENT, "--max-client-batch-size", "64"))

    assert 2 == done.exit_code, "nobody can be asked"
    lines = done.stderr.splitlines()
    where = f"us-ashburn-1, compartment {COMPARTMENT}, at {world.cloud.url}"
    assert f"tei-tiny in {where}:" in lines
    (line,) = [one for one in lines if one.startswith("  deployment: will be updated")]
    assert line.endswith(key)
    assert "while inactive: its command" in line
    assert any(one.startswith("  model: stays as it is") for one in lines)
    assert before == world.cloud.changes


def test_what_is_not_there_is_told_too(world: World) -> None:
    done = run(world, *tei(world))

    assert "  deployment: will be created" in done.stderr.splitlines()


def test_destroy_says_what_it_removes(world: World) -> None:
    run(world, *tei(world), "--yes")
    (key,), (model,) = world.cloud.deployments, world.cloud.models
    before = list(world.cloud.changes)

    done = run(world, "destroy", "tei-tiny")

    assert 2 == done.exit_code
    assert before == world.cloud.changes
    lines = done.stderr.splitlines()
    assert f"  deployment: will be removed, tiny (TEI), ACTIVE  {key}" in lines
    assert f"  model: will be removed, tiny (TEI)  {model}" in lines
    assert any("objects under oci://models@tenancy/embedway/tei-tiny/" in one for one in lines)
    assert 0 == run(world, "destroy", "tei-tiny", "--yes").exit_code
    assert "  there is nothing of it" in run(world, "destroy", "tei-tiny").stderr.splitlines()


def test_a_name_that_was_applied_in_two_places_is_asked_back(world: World) -> None:
    run(world, *tei(world), "--yes")
    run(world, *tei(world, PRODUCTION), "--yes")
    before = list(world.cloud.changes)

    done = run(world, "destroy", "tei-tiny", "--yes")

    assert 1 == done.exit_code
    assert before == world.cloud.changes
    assert "was applied in several places; give the file" in done.stderr
    named = {
        line.strip().partition(" (")[0]
        for line in done.stderr.splitlines()
        if line.rstrip().endswith(")")
    }
    places = {load_plan(Path(one)).oci.compartment_id: one for one in named}
    assert {COMPARTMENT, PRODUCTION} == set(places)
    assert 0 == run(world, "destroy", places[COMPARTMENT], "--yes").exit_code
    left = [one for one in world.cloud.deployments.values() if one["lifecycleState"] != "DELETED"]
    assert [PRODUCTION] == [one["compartmentId"] for one in left]


def test_a_plan_that_was_kept_before_is_found_and_replaced(world: World, tmp_path: Path) -> None:
    run(world, *tei(world), "--yes")
    (kept,) = (tmp_path / "home" / "deploy" / "tei-tiny").glob("plan*.yaml")
    earlier = kept.rename(kept.with_name("plan.yaml"))
    assert 0 == run(world, "status", "tei-tiny").exit_code

    run(world, *tei(world), "--yes")

    assert kept.is_file()
    assert not earlier.exists()
