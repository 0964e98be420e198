"""The commands of `embedway deploy` that take a plan which is there already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from embedway_gateway.cli.console import say
from embedway_gateway.cli.deploy.option import Auth, ConfigFile, Kept, Profile, Yes

if TYPE_CHECKING:
    from embedway_deploy import Plan

__all__ = ["apply", "destroy", "logs", "status", "verify"]

Python: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--python", help="Interpreter of an environment like the conda environment, or of OpenVINO."
    ),
]

# What deploys is imported in the functions: with pydantic it takes 0.3 s, which --help must not.


def verify(
    plan: Kept,
    *,
    python: Python = None,
) -> None:
    """
    Run a plan's `score.py` or its OpenVINO IR on this machine, and compare its vectors.

    Example: `embedway deploy verify onnx-all-minilm-l6-v2`
    """
    from embedway_gateway.cli.deploy.keep import kept_plan
    from embedway_gateway.cli.deploy.run import verify_plan

    verify_plan(kept_plan(plan), python)


def apply(
    plan: Kept,
    *,
    yes: Yes = False,
    python: Python = None,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """
    Apply a plan that was kept: again, or after an interruption.

    The files that it names must be where they were, with what was in them. On another machine make
    the plan again: what is there already is found.
    """
    from embedway_gateway.cli.deploy.keep import kept_plan
    from embedway_gateway.cli.deploy.run import apply_plan

    apply_plan(kept_plan(plan), (auth, config_file, profile), yes=yes, python=python)


def status(
    plan: Kept,
    *,
    auth: Auth = "api_key",
    config_file: ConfigFile = "~/.oci/config",
    profile: Profile = "DEFAULT",
) -> None:
    """Show what there is of a plan; the exit code is 1 unless all of it is there."""
    from embedway_deploy import status as look
    from embedway_gateway.cli.deploy.keep import kept_plan
    from embedway_gateway.cli.deploy.run import opened
    from embedway_gateway.cli.deploy.show import show_states

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
    from embedway_gateway.cli.deploy.keep import kept_plan
    from embedway_gateway.cli.deploy.run import opened

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
    from embedway_deploy import remains
    from embedway_gateway.cli.deploy.before import place_of, say_removals
    from embedway_gateway.cli.deploy.keep import kept_plan
    from embedway_gateway.cli.deploy.run import confirm, opened
    from embedway_gateway.cli.deploy.show import show_removed

    kept: Plan = kept_plan(plan)
    run = opened(kept, (auth, config_file, profile))
    say_removals(kept, remains(run))
    confirm(f"Remove everything of {kept.name} in {place_of(kept.place)}?", yes=yes)
    show_removed(remove(run))
