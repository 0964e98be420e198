"""The options that all commands of `embedway deploy` share, and the order that they make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeAlias

import typer

if TYPE_CHECKING:
    from embedway_deploy import Order

__all__ = [
    "Auth",
    "Bandwidth",
    "BucketUri",
    "Compartment",
    "ConfigFile",
    "DryRun",
    "DynamicGroup",
    "Group",
    "Kept",
    "LogGroup",
    "LogId",
    "Memory",
    "Model",
    "Name",
    "Ocpus",
    "Out",
    "Place",
    "Profile",
    "Project",
    "Region",
    "Replicas",
    "ServedName",
    "ServiceEndpoint",
    "ShapeName",
    "Subnet",
    "Yaml",
    "Yes",
    "order_of",
]

Auth: TypeAlias = Annotated[
    Literal["api_key", "session", "instance", "resource"],
    typer.Option("--auth", help="Who calls OCI.", rich_help_panel="Who"),
]
Bandwidth: TypeAlias = Annotated[
    int, typer.Option("--bandwidth", min=10, help="Mbps of the load balancer.")
]
BucketUri: TypeAlias = Annotated[
    str | None, typer.Option("--bucket", help="`oci://<bucket>@<namespace>/<prefix>`.")
]
Compartment: TypeAlias = Annotated[
    str, typer.Option("--compartment-id", help="OCID.", rich_help_panel="Where")
]
ConfigFile: TypeAlias = Annotated[
    str, typer.Option("--config-file", help="OCI's.", rich_help_panel="Who")
]
DryRun: TypeAlias = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan; nothing in the cloud is touched.")
]
DynamicGroup: TypeAlias = Annotated[
    str,
    typer.Option(
        "--dynamic-group", help="Of the deployments, for the policies.", rich_help_panel="Who"
    ),
]
Group: TypeAlias = Annotated[
    str,
    typer.Option("--group", help="Who deploys, for the policies.", rich_help_panel="Who"),
]
Kept: TypeAlias = Annotated[
    str, typer.Argument(metavar="PLAN", help="A plan's name, or the file that it was written to.")
]
LogGroup: TypeAlias = Annotated[
    str | None, typer.Option("--log-group-id", help="OCID; for the health check's reasons, too.")
]
LogId: TypeAlias = Annotated[str | None, typer.Option("--log-id", help="OCID of a log in it.")]
Memory: TypeAlias = Annotated[
    float | None, typer.Option("--memory", help="GB, of a .Flex shape; by default 16 an OCPU.")
]
Model: TypeAlias = Annotated[
    str, typer.Argument(metavar="MODEL", help="Name on the hub, or a folder.")
]
Name: TypeAlias = Annotated[
    str | None,
    typer.Option("--name", help="Marks what is made; by default from engine and model."),
]
Ocpus: TypeAlias = Annotated[
    float | None, typer.Option("--ocpus", help="Of a .Flex shape; by default 4.")
]
Out: TypeAlias = Annotated[
    Path | None, typer.Option("--out", help="Write the plan there, to be kept and applied again.")
]
Profile: TypeAlias = Annotated[
    str, typer.Option("--profile", help="In OCI's file.", rich_help_panel="Who")
]
Project: TypeAlias = Annotated[
    str, typer.Option("--project-id", help="OCID.", rich_help_panel="Where")
]
Region: TypeAlias = Annotated[
    str, typer.Option("--region", help="As us-ashburn-1.", rich_help_panel="Where")
]
Replicas: TypeAlias = Annotated[int, typer.Option("--replicas", min=1, help="Machines.")]
ServedName: TypeAlias = Annotated[
    str | None, typer.Option("--served-name", help="What clients of the gateway call the model.")
]
ServiceEndpoint: TypeAlias = Annotated[
    str | None,
    typer.Option("--service-endpoint", help="Instead of OCI's own hosts.", rich_help_panel="Where"),
]
ShapeName: TypeAlias = Annotated[str, typer.Option("--shape", help="Kind of machine.")]
Subnet: TypeAlias = Annotated[str | None, typer.Option("--subnet-id", help="OCID.")]
Yaml: TypeAlias = Annotated[
    bool, typer.Option("--yaml", help="With --dry-run: print the plan as YAML.")
]
Yes: TypeAlias = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

_OCPUS, _GB_AN_OCPU = 4.0, 16.0


class Place(NamedTuple):
    """Where, as the options say it."""

    region: str
    compartment_id: str
    project_id: str
    service_endpoint: str | None


def order_of(
    model: str,
    place: Place,
    *,
    shape: tuple[str, float | None, float | None, int, int, str | None],
    names: tuple[str | None, str | None],
    bucket: str | None,
    log: tuple[str | None, str | None],
    groups: tuple[str, str],
) -> Order:
    """The order; raises `Refused` where options do not fit together."""
    from pydantic import ValidationError

    from embedway_deploy import Bucket, Groups, Log, OCIPlace, Order, Refused, Shape

    kind, ocpus, memory, replicas, bandwidth, subnet = shape
    if kind.endswith(".Flex"):
        ocpus = ocpus or _OCPUS
        memory = memory or _GB_AN_OCPU * ocpus
    group_id, log_id = log
    if (group_id is None) != (log_id is None):
        raise Refused(["a log is given by both, --log-group-id and --log-id"])
    try:
        machines = Shape(
            name=kind,
            ocpus=ocpus,
            memory_gb=memory,
            replicas=replicas,
            bandwidth_mbps=bandwidth,
            subnet_id=subnet,
        )
    except ValidationError as error:
        problems = [one["msg"].removeprefix("Value error, ") for one in error.errors()]
        raise Refused(problems) from None
    return Order(
        model=model,
        place=OCIPlace(**place._asdict()),
        shape=machines,
        name=names[0],
        served=names[1],
        bucket=None if bucket is None else Bucket.read(bucket),
        log=None
        if group_id is None
        else Log(group_id=group_id, access_id=log_id, predict_id=log_id),
        groups=Groups(people=groups[0], dynamic=groups[1]),
    )
