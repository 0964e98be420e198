"""Prepares, keeps, verifies and applies plans for the command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import typer

from embedway_gateway.cli.console import say, terminal
from embedway_gateway.cli.deploy.before import place_of, say_changes
from embedway_gateway.cli.deploy.keep import keep
from embedway_gateway.cli.deploy.show import Shown, show_done, show_plan

if TYPE_CHECKING:
    from embedway_deploy import AICorePlace, Plan, Run, SignIn
    from embedway_deploy.login import Auth

__all__ = ["apply_plan", "confirm", "opened", "prepare_plan", "verify_plan"]


def prepare_plan(make: Callable[[], Plan]) -> Plan:
    """The plan, while something is shown: a graph takes seconds to build."""
    with terminal(error=True).status("reading the model and preparing its files"):
        return make()


def apply_plan(
    plan: Plan,
    login: tuple[str, str, str],
    *,
    dry: bool = False,
    as_yaml: bool = False,
    out: Path | None = None,
    yes: bool = False,
    python: str | None = None,
) -> None:
    """Print or keep the plan; else look, ask, keep and apply it. `python` runs its proof."""
    from embedway_deploy import apply, status

    if out is not None:
        out.write_text(plan.dump(), "utf-8")
        say(f"The plan is in {out}; `embedway deploy apply {out}` applies it.")
    if as_yaml:
        typer.echo(plan.dump(), nl=False)
    elif dry:
        show_plan(plan)
    if dry or as_yaml:
        return
    run = opened(plan, login, python=python)
    if not yes:
        show_plan(plan)
    say_changes(plan, status(run))
    confirm(f"Apply {plan.name} in {place_of(plan.place)}?", yes=yes)
    keep(plan)
    show_done(plan, apply(run), login)


def opened(plan: Plan, login: tuple[str, str, str], *, python: str | None = None) -> Run:
    """Signed in, and telling how it goes."""
    from embedway_deploy import AICorePlace, Cloud, Login, Run

    if isinstance(plan.place, AICorePlace):
        cloud = Cloud(aicore_sign_in(), plan.place)
        return Run(plan=plan, cloud=cloud, report=Shown())

    auth, config_file, profile = login
    who = Login(auth=cast("Auth", auth), config_file=config_file, profile=profile)
    cloud = Cloud(who.open(), plan.place)
    return Run(plan=plan, cloud=cloud, report=Shown(), python=python)


def aicore_sign_in() -> SignIn:
    """With the service key that SAP's own SDK would find. Raises `Refused` that says where."""
    from embedway_deploy import Refused, SignIn
    from embedway_gateway.config.credential import AICoreConfig

    try:
        return SignIn(AICoreConfig(type="aicore").make())
    except ValueError as error:
        raise Refused([told(error)]) from None


def aicore_place(
    api_url: str | None,
    resource_group: str | None,
    scenario_id: str,
    *,
    offline: bool,
    written: bool = False,
) -> AICorePlace:
    """
    What is not said is the service key's. Raises `Refused` where neither says it, and for an
    address that a token must not be sent to; `offline`, a plan may do without a login, and one that
    is not `written` without an address.
    """
    from pydantic import ValidationError

    from embedway_deploy import AICorePlace, Refused
    from embedway_deploy.aicore.place import UNKNOWN_ADDRESS
    from embedway_upstream.platforms.aicore_login import address_of, group_of

    if api_url is None or resource_group is None:
        from embedway_upstream.credentials.accept import credentials_from

        try:
            credentials = credentials_from(aicore_sign_in().signer)
            api_url = api_url or address_of(credentials)
            resource_group = resource_group or group_of(credentials)
        except (Refused, ValueError) as error:
            if not offline or (written and api_url is None):
                problems = getattr(error, "problems", [str(error)])
                cure = ["or say it with --api-url, AI_API_URL of the key"] if offline else []
                raise Refused([*problems, *cure]) from None
            api_url, resource_group = api_url or UNKNOWN_ADDRESS, resource_group or "default"
    try:
        return AICorePlace(api_url=api_url, resource_group=resource_group, scenario_id=scenario_id)
    except ValidationError as error:
        raise Refused([told(error)]) from None


def told(error: ValueError) -> str:
    """The message, without pydantic's own words around it."""
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        return str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
    return str(error)


def verify_plan(plan: Plan, python: str | None) -> None:
    """Print how far the two agree; raises what the comparison raises."""
    from embedway_deploy import Cloud, Refused, Run, SignIn, prove

    # Nothing is asked of the cloud, so nobody signs in.
    run = Run(plan=plan, cloud=Cloud(SignIn(None), plan.place), report=Shown(), python=python)
    done = prove(run)
    if not done:
        raise Refused([f"nothing of {plan.name} can be run here: its server is a container"])
    for one in done:
        typer.echo(f"{one.step}: {one.state.words}")


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless told not to; where nobody can answer, say which option does."""
    if yes:
        return
    if not sys.stdin.isatty():
        say("Nobody can be asked here: add --yes, or --dry-run to look only.")
        raise typer.Exit(2)
    typer.confirm(question, abort=True)
