"""`embedway deploy tei`: text-embeddings-inference in its own container on OCI Data Science."""

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

__all__ = ["tei"]


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
    dtype: Annotated[
        Literal["float32", "float16"] | None,
        typer.Option(
            "--dtype",
            help="Of the computation; by default float16 on a GPU, else float32.",
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
    text-embeddings-inference in its own container; the model comes from a bucket with versions.

    Example: `embedway deploy tei BAAI/bge-base-en-v1.5 --image
    iad.ocir.io/tenancy/text-embeddings-inference:1.9.3 --bucket oci://models@tenancy --region
    us-ashburn-1 --compartment-id ocid1.compartment… --project-id ocid1.datascienceproject…
    --dry-run`
    """
    from embedway_deploy import TEI, plan_tei
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
    server = TEI(
        image=image,
        port=port,
        max_client_batch_size=batch,
        dtype=dtype,
        invoke="suffix" if endpoints == "openai" else "predict",
    )
    plan = prepare_plan(lambda: plan_tei(order, tei=server))
    apply_plan(plan, (auth, config_file, profile), dry=dry_run, as_yaml=as_yaml, out=out, yes=yes)
