"""`embedway keys`: makes, lists, revokes and rotates the gateway's API keys."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedway_gateway.cli.console import say, terminal
from embedway_gateway.quota.allowance import MOST

if TYPE_CHECKING:
    from embedway_gateway.access.key import Key

__all__ = ["app"]

File = Annotated[Path, typer.Option("--file", "-f", help="The file of keys.")]
Which = Annotated[str, typer.Argument(metavar="NAME", help="A key's name or id.")]
Expires = Annotated[
    str | None, typer.Option(help="When it ends: `90d`, `12h`, or a date such as 2027-01-31.")
]
_KEYS = Path("keys.yaml")


def app() -> typer.Typer:
    """The commands of `embedway keys`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
    group.callback()(_keys)
    group.command(no_args_is_help=True)(create)
    group.command("list")(list_)
    group.command(no_args_is_help=True)(revoke)
    group.command(no_args_is_help=True)(rotate)
    return group


def _keys() -> None:
    """
    The API keys of the gateway.

    They are kept in a file, of each only its SHA-256, which `server: {keys: keys.yaml}` in the
    configuration names. A running gateway takes over changes within two seconds.
    """


def create(
    *,
    name: Annotated[str, typer.Option(help="Whose it is: letters, digits and `._@-`.")],
    models: Annotated[
        list[str] | None,
        typer.Option(help="Which models, as names, aliases or globs; again for more. All."),
    ] = None,
    rpm: Annotated[int | None, typer.Option(min=1, max=MOST, help="Requests a minute.")] = None,
    tpm: Annotated[int | None, typer.Option(min=1, max=MOST, help="Tokens a minute.")] = None,
    texts_per_minute: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Texts a minute.")
    ] = None,
    max_concurrency: Annotated[
        int | None, typer.Option(min=1, max=MOST, help="Requests under way at once.")
    ] = None,
    expires: Expires = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="May see everybody's usage, and the metrics.")
    ] = False,
    file: File = _KEYS,
) -> None:
    """
    Make a key, and print it: once, and to standard output alone.

    Example: `embedway keys create --name search --models 'bge-*' --rpm 600 --expires 90d`
    """
    from pydantic import ValidationError

    from embedway_gateway.access import issue
    from embedway_gateway.access.file import KeysFile
    from embedway_gateway.quota.allowance import Allowance

    allowance = Allowance(
        rpm=rpm, tpm=tpm, texts_per_minute=texts_per_minute, max_concurrency=max_concurrency
    )
    try:
        key, secret = issue.create(
            KeysFile(file),
            name=name,
            models=models or ("*",),
            allowance=allowance,
            expires=_moment(expires),
            admin=admin,
        )
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        if field == "name":
            raise typer.BadParameter("a name has up to 64 letters, digits and ._@-") from None
        raise typer.BadParameter(f"{field}: {error.errors()[0]['msg']}") from None
    _show(key, secret, file)


def list_(
    *,
    json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
    file: File = _KEYS,
) -> None:
    """
    List the keys: whose they are, what they allow, and until when. No secret is known.

    Example: `embedway keys list`
    """
    from embedway_gateway.access.file import KeysFile

    keys = KeysFile(file).read()
    now = datetime.now(UTC)
    if json:
        import msgspec

        facts = [
            {**key.model_dump(mode="json", exclude={"sha256"}), "state": key.state(now)}
            for key in keys
        ]
        typer.echo(msgspec.json.format(msgspec.json.encode(facts)).decode())
        return
    if not keys:
        say(f"No keys in {file}. `embedway keys create --name NAME` makes one.")
        return
    from rich.table import Table

    names = ("id", "name", "state", "models", "limits", "created", "expires")
    table = Table(*names, box=None)
    for key in keys:
        limits = _limits(key) or "none"
        expires = "never" if key.until is None else f"{key.until:%Y-%m-%d %H:%M}"
        name = f"{key.name} (admin)" if key.admin else key.name
        models = ", ".join(key.models)
        created = f"{key.created:%Y-%m-%d}"
        table.add_row(key.id, name, key.state(now), models, limits, created, expires)
    terminal().print(table, markup=False)


def revoke(which: Which, *, file: File = _KEYS) -> None:
    """
    End a key, or all of a name, at once.

    Example: `embedway keys revoke search`
    """
    from embedway_gateway.access import issue
    from embedway_gateway.access.file import KeysFile

    for key in issue.revoke(KeysFile(file), which):
        say(f"Revoked {key.name} ({key.id}). Running gateways refuse it within two seconds.")


def rotate(
    which: Which,
    *,
    overlap: Annotated[
        str, typer.Option(help="How long the old key still opens: `24h`, `30m`, `0s`.")
    ] = "24h",
    expires: Expires = None,
    file: File = _KEYS,
) -> None:
    """
    Make a new key with the same rights and limits, and end the old one after a while. Meanwhile
    both count as one.

    Example: `embedway keys rotate search --overlap 24h`
    """
    from embedway_gateway.access import issue
    from embedway_gateway.access.file import KeysFile

    key, secret = issue.rotate(
        KeysFile(file), which, overlap=_span(overlap), expires=_moment(expires)
    )
    _show(key, secret, file)
    say(f"The old key opens for another {overlap}.")


def _show(key: Key, secret: str, file: Path) -> None:
    limits = _limits(key) or "no limits"
    until = "" if key.expires is None else f", until {key.expires:%Y-%m-%d %H:%M} UTC"
    say(f"The key {key.id} of {key.name}, for {', '.join(key.models)}, with {limits}{until}:")
    typer.echo(secret)
    say(f"It is shown this once; {file} keeps its SHA-256 only.")


def _limits(key: Key) -> str:
    limits = (
        (key.rpm, "requests/min"),
        (key.texts_per_minute, "texts/min"),
        (key.tpm, "tokens/min"),
        (key.max_concurrency, "at once"),
    )
    return ", ".join(f"{value:,} {unit}" for value, unit in limits if value is not None)


def _moment(text: str | None) -> datetime | None:
    """A date, a time, or so long from now."""
    if text is None:
        return None
    from pydantic import TypeAdapter

    from embedway_gateway.access.key import Moment

    try:
        return TypeAdapter(Moment).validate_python(text)
    except ValueError:
        return (datetime.now(UTC) + _span(text)).replace(microsecond=0)


def _span(text: str) -> timedelta:
    from pydantic import TypeAdapter, ValidationError

    from embedway_gateway.config.value import Pause

    try:
        span = timedelta(seconds=TypeAdapter(Pause).validate_python(text))
        # Beyond the last of all days there is no moment.
        _ = datetime.now(UTC) + span
    except (ValidationError, OverflowError):
        raise typer.BadParameter(
            f"{text!r} is not understood; write 90d, 12h, 30m, or a date such as 2027-01-31"
        ) from None
    return span
