"""`embedway serve`: run the gateway."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from embedway_gateway.config.schema import Config

__all__ = ["serve"]

# Between two looks at the file.
_SECONDS = 2.0


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file, YAML.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Listen here; without API keys, on loopback only.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Listen here.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the address.")] = 1,
    watch: Annotated[
        bool, typer.Option(help="Take over changes of the file; SIGHUP does so in any case.")
    ] = True,
) -> None:
    """
    Run the gateway: an OpenAI-compatible endpoint for embeddings.

    Without a configuration it serves sentence-transformers/all-MiniLM-L6-v2 in this process, on
    http://127.0.0.1:8080/v1, downloading it on first use.

    Examples:
        embedway serve

        embedway serve --config embedway.yaml --port 9000 --workers 2

    """
    # Imported here: `embedway --help` should not wait for a web server.
    from embedway_gateway.config.schema import default_config
    from embedway_gateway.config.watch import Watch
    from embedway_gateway.serve import serve as run
    from embedway_gateway.serve import try_out
    from embedway_local.catalogue import DEFAULT_MODEL

    if config is None:
        try:
            default = _listening(default_config(DEFAULT_MODEL), host, port)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
        run(default, workers=workers)
        return
    file = Watch(
        config,
        partial(_read, config, host, port),
        every=_SECONDS if watch else None,
        # One process makes it itself; a supervisor must know that its workers could.
        check=try_out if workers > 1 else None,
    )
    run(file.first(), workers=workers, watch=file)


def _read(path: Path, host: str | None, port: int | None) -> Config:
    from embedway_gateway.config.load import ConfigError, load_config

    try:
        return _listening(load_config(path), host, port)
    except ValueError as error:
        raise ConfigError(path, [f"with --host and --port: {error}"]) from None


def _listening(config: Config, host: str | None, port: int | None) -> Config:
    """With these instead of what it says itself; `ValueError` when that is not allowed."""
    from pydantic import ValidationError

    from embedway_gateway.config.schema import ServerConfig

    stated = {"host": host, "port": port}
    changes = {key: value for key, value in stated.items() if value is not None}
    try:
        server = ServerConfig.model_validate({**config.server.model_dump(), **changes})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise ValueError(message) from None
    return config.model_copy(update={"server": server})
