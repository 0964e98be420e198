"""`embedway deploy aqua`: as AI Quick Actions of OCI Data Science deploys."""

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
    shape_of,
)

__all__ = ["aqua"]


def aqua(
    model: Model,
    *,
    image: Annotated[
        str,
        typer.Option(
            "--image",
            help="Oracle's vLLM, `dsmc://odsc-vllm-serving:<tag>`, or your TEI in OCI's registry.",
        ),
    ],
    bucket: BucketUri = None,
    offered: Annotated[
        list[str] | None,
        typer.Option(
            "--offer-shape", help="Also offered for the model by AI Quick Actions; repeatable."
        ),
    ] = None,
    port: Annotated[int, typer.Option("--port", help="Of the container.")] = 8080,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"] | None,
        typer.Option(
            "--dtype",
            help="Of the computation; by default as the server chooses: a half, on a GPU.",
        ),
    ] = None,
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
    Deploy as AI Quick Actions does, with its tags, so that it lists model and deployment, too.

    Example: `embedway deploy aqua BAAI/bge-base-en-v1.5 --image dsmc://odsc-vllm-serving:0.11.0.1
    --bucket oci://models@tenancy --region us-ashburn-1 --compartment-id ocid1.compartment…
    --project-id ocid1.datascienceproject… --dry-run`
    """
    from embedway_deploy import Aqua, plan_aqua
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
    others = tuple(shape_of(one) for one in offered or ())
    server = Aqua(image=image, shapes=others, port=port, dtype=dtype)
    plan = prepare_plan(lambda: plan_aqua(order, aqua=server))
    apply_plan(plan, (auth, config_file, profile), dry=dry_run, as_yaml=as_yaml, out=out, yes=yes)
