"""`embedway deploy`: from a model's name to a running deployment, and back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from embedway_gateway.cli.console import say
from embedway_gateway.cli.deploy_option import (
    Auth,
    Bandwidth,
    BucketUri,
    Compartment,
    ConfigFile,
    DryRun,
    DynamicGroup,
    Group,
    Kept,
    LogGroup,
    LogId,
    Memory,
    Model,
    Name,
    Ocpus,
    Out,
    Place,
    Profile,
    Project,
    Region,
    Replicas,
    ServedName,
    ServiceEndpoint,
    ShapeName,
    Subnet,
    Yaml,
    Yes,
    order_of,
)

if TYPE_CHECKING:
    from embedway_deploy import Plan

__all__ = ["app"]

# What deploys is imported in the functions: with pydantic it takes 0.3 s, which --help must not.


def app() -> typer.Typer:
    """The commands of `embedway deploy`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.callback()(_deploy)
    group.command(no_args_is_help=True)(onnx)
    group.command(no_args_is_help=True)(tei)
    group.command(no_args_is_help=True)(verify)
    group.command(no_args_is_help=True)(apply)
    group.command(no_args_is_help=True)(status)
    group.command(no_args_is_help=True)(logs)
    group.command(no_args_is_help=True)(destroy)
    return group


def _deploy() -> None:
    """
    Deploy a model to OCI Data Science.

    `--dry-run` prints everything that would be made: resources, files, environment, IAM policies,
    sizes and what is paid for. Without it, that is applied: what is there already is found by its
    tags and left alone, so a second run changes nothing, and an interrupted one goes on. At the end
    texts are embedded through the gateway's own code and compared with the local runtime.

    Needs `pip install "embedway[deploy]"`.
    """


def onnx(
    model: Model,
    *,
    conda_env: Annotated[
        str,
        typer.Option(
            "--conda-env",
            help="Published conda environment, `oci://<bucket>@<namespace>/…/<slug>`.",
        ),
    ],
    python: Annotated[str, typer.Option("--python-version", help="The Python in it.")] = "3.11",
    graph: Annotated[
        Path | None,
        typer.Option("--onnx", help="Your own ONNX export; by default the graph is built here."),
    ] = None,
    pooling: Annotated[
        Literal["mean", "cls", "last"] | None,
        typer.Option("--pooling", help="Instead of what the model's folder says."),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=3, help="The same, for the longest text.")
    ] = None,
    region: Region,
    compartment_id: Compartment,
    project_id: Project,
    shape: ShapeName = "VM.Standard.E4.Flex",
    ocpus: Ocpus = None,
    memory: Memory = None,
    replicas: Replicas = 1,
    bandwidth: Bandwidth = 10,
    subnet_id: Subnet = None,
    bucket: BucketUri = None,
    name: Name = None,
    served_name: ServedName = None,
    log_group_id: LogGroup = None,
    log_id: LogId = None,
    group: Group = "<group>",
    dynamic_group: DynamicGroup = "<dynamic-group>",
    service_endpoint: ServiceEndpoint = None,
    dry_run: DryRun = False,
    as_yaml: Yaml = False,
    out: Out = None,
    yes: Yes = False,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """
    An ONNX model in a conda environment, with a `score.py` of ours.

    Example: `embedway deploy onnx sentence-transformers/all-MiniLM-L6-v2 --region us-ashburn-1
    --compartment-id ocid1.compartment… --project-id ocid1.datascienceproject… --conda-env
    oci://packs@tenancy/conda_environments/cpu/onnx/1.0/onnx_v1 --dry-run`
    """
    from embedway_deploy import Conda, plan_onnx
    from embedway_gateway.cli.deploy_run import apply_plan, prepare_plan

    place = Place(region, compartment_id, project_id, service_endpoint)
    order = order_of(
        model,
        place,
        shape=(shape, ocpus, memory, replicas, bandwidth, subnet_id),
        names=(name, served_name),
        bucket=bucket,
        log=(log_group_id, log_id),
        groups=(group, dynamic_group),
    )
    plan = prepare_plan(
        lambda: plan_onnx(
            order,
            conda=Conda(conda_env, python),
            graph=graph,
            pooling=pooling,
            max_tokens=max_tokens,
        )
    )
    apply_plan(plan, (auth, config_file, profile), dry=dry_run, as_yaml=as_yaml, out=out, yes=yes)


def tei(
    model: Model,
    *,
    image: Annotated[
        str,
        typer.Option("--image", help="TEI's image in OCI's registry, `<region>.ocir.io/…:1.9.3`."),
    ],
    bucket: BucketUri = None,
    port: Annotated[int, typer.Option("--port", help="Of the container.")] = 8080,
    batch: Annotated[
        int, typer.Option("--max-client-batch-size", min=1, help="Most texts in a request.")
    ] = 32,
    endpoints: Annotated[
        Literal["one", "openai"],
        typer.Option(
            "--endpoints",
            help="`one`: /predict embeds. `openai`: all of OpenAI's paths behind /predict/v1/….",
        ),
    ] = "one",
    region: Region,
    compartment_id: Compartment,
    project_id: Project,
    shape: ShapeName = "VM.GPU.A10.1",
    ocpus: Ocpus = None,
    memory: Memory = None,
    replicas: Replicas = 1,
    bandwidth: Bandwidth = 10,
    subnet_id: Subnet = None,
    name: Name = None,
    served_name: ServedName = None,
    log_group_id: LogGroup = None,
    log_id: LogId = None,
    group: Group = "<group>",
    dynamic_group: DynamicGroup = "<dynamic-group>",
    service_endpoint: ServiceEndpoint = None,
    dry_run: DryRun = False,
    as_yaml: Yaml = False,
    out: Out = None,
    yes: Yes = False,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """
    text-embeddings-inference in its own container; the model comes from a bucket with versions.

    Example: `embedway deploy tei BAAI/bge-base-en-v1.5 --image
    iad.ocir.io/tenancy/text-embeddings-inference:1.9.3 --bucket oci://models@tenancy --region
    us-ashburn-1 --compartment-id ocid1.compartment… --project-id ocid1.datascienceproject…
    --dry-run`
    """
    from embedway_deploy import TEI, plan_tei
    from embedway_gateway.cli.deploy_run import apply_plan, prepare_plan

    place = Place(region, compartment_id, project_id, service_endpoint)
    order = order_of(
        model,
        place,
        shape=(shape, ocpus, memory, replicas, bandwidth, subnet_id),
        names=(name, served_name),
        bucket=bucket,
        log=(log_group_id, log_id),
        groups=(group, dynamic_group),
    )
    server = TEI(
        image=image,
        port=port,
        max_client_batch_size=batch,
        invoke="suffix" if endpoints == "openai" else "predict",
    )
    plan = prepare_plan(lambda: plan_tei(order, tei=server))
    apply_plan(plan, (auth, config_file, profile), dry=dry_run, as_yaml=as_yaml, out=out, yes=yes)


def verify(
    plan: Kept,
    *,
    python: Annotated[
        str | None,
        typer.Option("--python", help="Interpreter of an environment like the conda environment."),
    ] = None,
) -> None:
    """
    Run a plan's `score.py` on this machine, as the platform and ADS do, and compare its vectors.

    Example: `embedway deploy verify onnx-all-minilm-l6-v2`
    """
    from embedway_gateway.cli.deploy_run import kept_plan, verify_plan

    verify_plan(kept_plan(plan), python)


def apply(
    plan: Kept,
    *,
    yes: Yes = False,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """Apply a plan that was kept: again, on another machine, or after an interruption."""
    from embedway_gateway.cli.deploy_run import apply_plan, kept_plan

    apply_plan(kept_plan(plan), (auth, config_file, profile), yes=yes)


def status(
    plan: Kept,
    *,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """Show what there is of a plan; the exit code is 1 unless all of it is there."""
    from embedway_deploy import status as look
    from embedway_gateway.cli.deploy_run import kept_plan, opened
    from embedway_gateway.cli.deploy_show import show_states

    found = look(opened(kept_plan(plan), (auth, config_file, profile)))
    show_states(found)
    if any(one.state.status not in {"present", "unknown"} for one in found):
        raise typer.Exit(1)


def logs(
    plan: Kept,
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000)] = 100,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """Print the last lines that the deployment has written; needs a log in the plan."""
    from embedway_deploy import logs as read
    from embedway_gateway.cli.deploy_run import kept_plan, opened

    found = read(opened(kept_plan(plan), (auth, config_file, profile)), lines=lines)
    if not found:
        say("There is nothing: the plan names no log (--log-group-id, --log-id), or it is empty.")
    for line in found:
        typer.echo(line)


def destroy(
    plan: Kept,
    *,
    yes: Yes = False,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """Remove the deployment, its models and its objects, earlier versions included."""
    from embedway_deploy import destroy as remove
    from embedway_gateway.cli.deploy_run import confirm, kept_plan, opened
    from embedway_gateway.cli.deploy_show import show_removed

    kept: Plan = kept_plan(plan)
    confirm(f"Remove everything of {kept.name} in {kept.place.region}?", yes=yes)
    show_removed(remove(opened(kept, (auth, config_file, profile))))
