"""What `--help` says of every command, as one page."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from typer.main import get_command

from embedway_gateway.cli.app import application

_HEAD = """\
<!-- Made by docs/tools/reference.py. -->
# Commands

What `--help` says of every command, on one page. [Command line](../command-line.md) explains them.
"""
_EXAMPLE = re.compile(r"^Examples?:\n((?:\n? {4}.+\n?)+)", re.MULTILINE)
_WORDS: dict[type, str] = {int: "whole number", float: "number", Path: "path", str: "text"}

# Typer's commands and parameters have types of their own, which change with its versions.


def command_page() -> str:
    """The whole page."""
    return _HEAD + "".join(f"\n{text}" for text in _sections(get_command(application()), ()))


def _sections(command: Any, before: tuple[str, ...]) -> Iterator[str]:
    yield _section(command, " ".join(("embedway", *before)))
    for inner, child in getattr(command, "commands", {}).items():
        yield from _sections(child, (*before, inner))


def _section(command: Any, name: str) -> str:
    children = getattr(command, "commands", {})
    places = [_place(item) for item in command.params if item.param_type_name == "argument"]
    usage = " ".join([name, "[OPTIONS]", *places, *(["COMMAND …"] if children else [])])
    parts = [f"## `{name}`\n", f"```text\n{usage}\n```\n", _text(command.help or "")]
    if children:
        here = name.replace(" ", "-")
        listed = ", ".join(f"[`{name} {one}`](#{here}-{one})" for one in children)
        parts.append(f"Its commands: {listed}.\n")
    if rows := [_row(item) for item in command.params]:
        parts.append("\n".join(["| | value | default | |", "|---|---|---|---|", *rows, ""]))
    return "\n".join(part for part in parts if part)


def _text(help_: str) -> str:
    """Its examples in blocks of their own."""

    def block(match: re.Match[str]) -> str:
        lines = [line.strip() for line in match[1].splitlines() if line.strip()]
        return "\n".join(["Examples:\n", "```text", *lines, "```", ""])

    return _EXAMPLE.sub(block, inspect.cleandoc(help_) + "\n").rstrip() + "\n"


def _row(item: Any) -> str:
    is_option = item.param_type_name == "option"
    names = [*item.opts, *item.secondary_opts] if is_option else [_place(item)]
    cells = (
        ", ".join(f"`{name}`" for name in names),
        _value(item),
        _default(item),
        (item.help or "").removesuffix("."),
    )
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _place(item: Any) -> str:
    """How an argument is written."""
    return str(item.metavar or item.name.upper())


def _value(item: Any) -> str:
    if getattr(item, "is_flag", False):
        return ""
    annotation = item.type_descriptor.annotation
    if get_origin(annotation) is list:
        return _named(get_args(annotation)[0]) + ", several"
    bounds = [
        f"{sign} {bound:.10g}"
        for sign, bound in (("≥", item.min), ("≤", item.max))
        if bound is not None
    ]
    return " ".join([_named(annotation), " and ".join(bounds)]).strip()


def _named(annotation: object) -> str:
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{item}`" for item in get_args(annotation))
    if isinstance(annotation, type):
        return _WORDS.get(annotation, annotation.__name__.lower())
    return str(annotation)


def _default(item: Any) -> str:
    if item.required:
        return "required"
    if getattr(item, "is_flag", False):
        return "on" if item.default else "off"
    return "none" if item.default is None else f"`{item.default}`"
