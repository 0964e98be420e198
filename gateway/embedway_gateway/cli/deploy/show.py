"""Shows plans, progress and results of `embedway deploy`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from embedway_gateway.cli.console import say, terminal

if TYPE_CHECKING:
    from rich.tree import Tree

    from embedway_deploy import Plan
    from embedway_deploy.plan import Step
    from embedway_deploy.state import Done
    from embedway_deploy.step import Check

__all__ = ["Shown", "pasted", "show_done", "show_plan", "show_removed", "show_states"]

_TAGGED = frozenset({"model", "deployment", "publication"})


class Shown:
    """A `Report` on standard error: bars on a terminal, elsewhere a line when the words change."""

    def say(self, message: str) -> None:
        """One line."""
        say(message)

    @contextmanager
    def progress(
        self, title: str, *, total: int | None = None, unit: str = "bytes"
    ) -> Iterator[Callable[[int, str], None]]:
        """A bar for as long as the block runs."""
        console = terminal(error=True)
        if not console.is_terminal:
            said = ""

            def line(_done: int, words: str) -> None:
                nonlocal said
                if words != said:
                    said = words
                    say(f"{title}: {words}")

            say(title)
            yield line
            return
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
        )

        size = DownloadColumn() if unit == "bytes" else TextColumn("{task.fields[words]}")
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), size)
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bar:
            task = bar.add_task(title, total=total, words="")
            yield lambda done, words: bar.update(task, completed=done, words=words)


def show_plan(plan: Plan) -> None:
    """Everything in it, as a tree."""
    from rich.markup import escape
    from rich.tree import Tree

    place = plan.place
    tree = Tree(escape(f"{plan.name}: {plan.model} ({plan.engine}, {plan.dimensions} dimensions)"))
    where = tree.add("where")
    for key, value in place.model_dump(exclude_none=True).items():
        where.add(escape(f"{key}: {value}"))
    steps = tree.add("steps, in this order")
    shown: set[str] = set()
    for number, step in enumerate(plan.steps, 1):
        title = step.kind if step.kind == step.name else f"{step.kind} {step.name}"
        branch = steps.add(escape(f"{number}. {title}  {plan.digest(step)}"))
        _grow(branch, step, shown)
        for key, value in plan.tags(step).items() if step.kind in _TAGGED else ():
            branch.add(escape(f"tag {key}: {value}"))
    for title, lines in (
        ("IAM, which must be there", plan.policies),
        ("what is paid for", plan.costs),
        ("notes", plan.notes),
    ):
        if lines:
            branch = tree.add(title)
            for line in lines:
                branch.add(escape(line))
    terminal().print(tree, soft_wrap=True)


def show_states(found: Sequence[Done]) -> None:
    """One line a step: what there is of it."""
    from rich.table import Table

    table = Table("step", "state", "what", "id", box=None)
    for one in found:
        table.add_row(one.step, one.state.status, one.state.words, one.state.id)
    terminal().print(table, markup=False)


def show_done(plan: Plan, done: Sequence[Done], login: tuple[str, str, str]) -> None:
    """What was changed, and what to paste into the gateway's configuration."""
    for one in done:
        if one.kind in {"proof", "check"}:
            typer.echo(f"{one.step}: {one.state.words}")
            continue
        verb = "made" if one.changed else "was there"
        typer.echo(f"{one.step}: {verb}, {one.state.words}  {one.state.id}")
    where, mark = ("compartment", "tag") if plan.place.platform == "oci" else ("scenario", "name")
    typer.echo(
        f"\nFor embedway.yaml; with `discovery:` of this {where} it is found by its {mark}:\n"
    )
    typer.echo(pasted(plan, done, login))


def show_removed(done: Sequence[Done]) -> None:
    """What was removed."""
    for one in done:
        if one.kind not in {"proof", "check", "publication"}:
            typer.echo(f"{one.step}: {'removed' if one.changed else 'was not there'}")


def pasted(plan: Plan, done: Sequence[Done], login: tuple[str, str, str]) -> str:
    """The deployment as a model of `embedway.yaml`, with its credentials."""
    import yaml

    from embedway_deploy.step import Check

    auth, config_file, profile = login
    check = next(step for step in plan.steps if isinstance(step, Check))
    facts = next(one.state.facts for one in done if one.step == check.deployment)
    if group := facts.get("resource_group"):
        return _pasted_aicore(plan, check, facts["url"], group)
    who: dict[str, object] = {"type": "oci", "principal": auth}
    if auth in {"api_key", "session"}:
        who |= {"config_file": config_file, "profile": profile}
    upstream: dict[str, object] = {
        "name": plan.name,
        "engine": plan.engine,
        "platform": "oci",
        "url": facts["url"],
        "invoke": check.invoke,
        "credentials": "oci",
    }
    if check.served is not None:
        upstream["model"] = check.served
    if check.precision != "fp32":
        upstream["precision"] = check.precision
    model = {"name": plan.model, "dimensions": plan.dimensions, "upstreams": [upstream]}
    content = {"credentials": {"oci": who}, "models": [model]}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return text


def _pasted_aicore(plan: Plan, check: Check, url: str, group: str) -> str:
    import yaml

    upstream = {
        "name": plan.name,
        "engine": plan.engine,
        "platform": "aicore",
        "url": url,
        "resource_group": group,
        "credentials": "aicore",
    }
    if check.precision != "fp32":
        upstream["precision"] = check.precision
    model = {"name": plan.model, "dimensions": plan.dimensions, "upstreams": [upstream]}
    content = {"credentials": {"aicore": {"type": "aicore"}}, "models": [model]}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
    return text


def _grow(branch: Tree, step: Step, shown: set[str]) -> None:
    """A step's own facts; files with their sizes, those of a folder once."""
    from rich.markup import escape

    for key, value in step.model_dump(exclude_none=True).items():
        if key in {"kind", "name", "tags"} or value in ({}, (), []):
            continue
        if key == "source":
            total = sum(file["bytes"] for file in value["files"])
            title = f"{len(value['files'])} files, {total:,} bytes, in {value['folder']}"
            files = branch.add(escape(title))
            for file in () if value["folder"] in shown else value["files"]:
                files.add(escape(f"{file['path']}  {file['bytes']:,}  {file['sha256'][:12]}"))
            shown.add(value["folder"])
        elif isinstance(value, dict):
            inner = branch.add(key)
            for name, item in value.items():
                if item not in ({}, (), []):
                    told = " ".join(item) if name == "command" else item
                    inner.add(escape(f"{name}: {told}"))
        else:
            branch.add(escape(f"{key}: {value}"))
