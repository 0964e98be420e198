"""`embedway deploy ovms`: OpenVINO Model Server in its own container on OCI Data Science."""

from __future__ import annotations

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

__all__ = ["ovms"]


def ovms(
    model: Model,
    *,
    image: Annotated[
        str,
        typer.Option(
            "--image", help="The server's image in OCI's registry, `<region>.ocir.io/…:2025.4`."
        ),
    ],
    bucket: BucketUri = None,
    weights: Annotated[
        Literal["fp32", "fp16", "int8", "int4"],
        typer.Option("--weight-format", help="Of the model that is converted."),
    ] = "fp32",
    truncate: Annotated[
        bool, typer.Option("--truncate/--no-truncate", help="Cut long texts, or refuse them.")
    ] = True,
    python: Annotated[
        str | None,
        typer.Option(
            "--python", help="Interpreter that has OpenVINO; by default this one must have it."
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", help="Of the container.")] = 8080,
    endpoints: Annotated[
        Literal["one", "several"],
        typer.Option(
            "--endpoints",
            help="`one`: /predict embeds. `several`: /predict/v3/embeddings does.",
        ),
    ] = "one",
    region: Region,
    compartment_id: Compartment,
    project_id: Project,
    shape: ShapeName = "VM.Standard.E4.Flex",
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
    OpenVINO Model Server; the model is converted here, and compared before it is uploaded.

    Needs `pip install "embedway[deploy-ovms]"`, or `--python` of an environment that has OpenVINO.

    Example: `embedway deploy ovms BAAI/bge-base-en-v1.5 --image
    iad.ocir.io/tenancy/model_server:2025.4 --weight-format int8 --bucket oci://models@tenancy
    --region us-ashburn-1 --compartment-id ocid1.compartment… --project-id
    ocid1.datascienceproject… --dry-run`
    """
    import sys

    from embedway_deploy import OVMS, plan_ovms
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
    server = OVMS(
        image=image,
        weights=weights,
        truncate=truncate,
        port=port,
        invoke="suffix" if endpoints == "several" else "predict",
        python=python or sys.executable,
    )
    plan = prepare_plan(lambda: plan_ovms(order, ovms=server))
    who = (auth, config_file, profile)
    apply_plan(plan, who, dry=dry_run, as_yaml=as_yaml, out=out, yes=yes, python=python)
