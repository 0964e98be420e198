"""`embedway deploy infinity`: infinity on SAP AI Core."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from embedway_gateway.cli.deploy.option import DryRun, Model, Name, Out, ServedName, Yaml, Yes

__all__ = ["infinity"]


def infinity(
    model: Model,
    *,
    image: Annotated[
        str, typer.Option("--image", help="What it will be called in your registry, with a tag.")
    ],
    object_store: Annotated[
        str, typer.Option("--object-store", help="AI Core's secret of the store for the model.")
    ],
    prefix: Annotated[
        str, typer.Option("--prefix", help="Folder in the store, under the secret's own.")
    ] = "",
    scenario_id: Annotated[
        str, typer.Option("--scenario-id", help="Of the template.", rich_help_panel="Where")
    ] = "embedway",
    resource_group: Annotated[
        str | None,
        typer.Option(
            "--resource-group",
            help="By default the one of the service key's configuration, or `default`.",
            rich_help_panel="Where",
        ),
    ] = None,
    api_url: Annotated[
        str | None,
        typer.Option(
            "--api-url",
            help="AI_API_URL; by default the service key's.",
            rich_help_panel="Where",
        ),
    ] = None,
    registry: Annotated[
        str, typer.Option("--registry-secret", help="AI Core's secret of the image's registry.")
    ] = "docker-registry",
    executable_id: Annotated[
        str, typer.Option("--executable-id", help="Of the template; one serves many models.")
    ] = "embedway-infinity",
    plan: Annotated[
        str, typer.Option("--resource-plan", help="Kind of machine, as infer.s, infer.m, infer2.l.")
    ] = "infer.s",
    least: Annotated[int, typer.Option("--min-replicas", min=1)] = 1,
    most: Annotated[int, typer.Option("--max-replicas", min=1)] = 1,
    batch: Annotated[int, typer.Option("--batch-size", min=1)] = 32,
    dtype: Annotated[
        Literal["float32", "float16", "bfloat16"],
        typer.Option("--dtype", help="Of the weights; the halves are another vector space."),
    ] = "float32",
    name: Name = None,
    served_name: ServedName = None,
    dry_run: DryRun = False,
    as_yaml: Yaml = False,
    out: Out = None,
    yes: Yes = False,
) -> None:
    """
    Deploy infinity to SAP AI Core.

    Writes template, Dockerfile, entry script and the model's folder; registers, configures and
    deploys what AI Core has read of them.

    The login is the one that SAP's SDK finds: AICORE_SERVICE_KEY, AICORE_* or ~/.aicore.

    Example: `embedway deploy infinity BAAI/bge-base-en-v1.5 --image
    registry.example.com/infinity:0.0.77 --object-store models --scenario-id embeddings
    --resource-plan infer.s --dry-run`
    """
    from embedway_deploy import Infinity, NamedModel, plan_infinity
    from embedway_gateway.cli.deploy.run import aicore_place, apply_plan, prepare_plan

    place = aicore_place(
        api_url,
        resource_group,
        scenario_id,
        offline=dry_run or as_yaml,
        # A plan that is written down is applied one day, and must say where.
        written=as_yaml or out is not None,
    )
    named = NamedModel(model=model, name=name, served=served_name)
    server = Infinity(
        image=image,
        object_store=object_store,
        prefix=prefix,
        registry=registry,
        executable_id=executable_id,
        resource_plan=plan,
        min_replicas=least,
        max_replicas=most,
        batch_size=batch,
        dtype=dtype,
    )
    made = prepare_plan(lambda: plan_infinity(named, place, infinity=server))
    apply_plan(made, ("", "", ""), dry=dry_run, as_yaml=as_yaml, out=out, yes=yes)
