"""`embedway models list --known`: the catalogue of well-known models."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import typer

from embedway_gateway.cli.console import terminal

if TYPE_CHECKING:
    from embedway_local import KnownModel

__all__ = ["show"]


def show(*, json: bool) -> None:
    """Print it as a table, or with every fact and source as JSON."""
    from embedway_local import known_models

    models = list(known_models().values())
    if json:
        import msgspec

        facts = [_facts(model) for model in models]
        typer.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return
    from rich.table import Table

    table = Table(
        "model", "dimensions", "tokens", "pooling", "query prompt", "licence", "runs here", box=None
    )
    for model in models:
        prompt = "?" if model.prompts is None else repr(model.prompts.get("query", ""))
        kind = "reranker" if model.kind == "rerank" else model.pooling or "?"
        size, tokens = model.dimensions or "", model.max_tokens or "?"
        table.add_row(
            model.name,
            str(size),
            str(tokens),
            kind,
            "" if model.kind == "rerank" else prompt,
            model.license or "?",
            _runs(model),
        )
    terminal().print(table, markup=False)


def _facts(model: KnownModel) -> dict[str, object]:
    """The fields that are known; the pinned files are not shown, `verify` is about them."""
    stated = {field.name: getattr(model, field.name) for field in fields(model)}
    stated["runs"] = _runs(model)
    if model.prompts is not None:
        stated["prompts"] = dict(model.prompts)
    pin = stated.pop("pin")
    if pin is not None:
        stated["pinned"] = pin.revision
    return {name: value for name, value in stated.items() if value is not None}


def _runs(model: KnownModel) -> str:
    from embedway_local.source.find import runs

    return runs(model)
