"""`embedway deploy onnx`: an ONNX model in a conda environment of OCI Data Science."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from embedway_gateway.cli.deploy.option import (
    Auth,
    Bandwidth,
    BucketUri,
    Compartment,
    ConfigFile,
    DryRun,
    DynamicGroup,
    Group,
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

__all__ = ["onnx"]


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
    agreement: Annotated[
        float | None,
        typer.Option(
            "--agreement",
            min=0.5,
            max=1.0,
            help="Least cosine with the local runtime; lower it for an export in less precision.",
        ),
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
    from embedway_gateway.cli.deploy.run import apply_plan, prepare_plan

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
            agreement=agreement,
        )
    )
    apply_plan(plan, (auth, config_file, profile), dry=dry_run, as_yaml=as_yaml, out=out, yes=yes)
