"""`embedway serve`: run the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["serve"]


def serve(
    config: Annotated[
        Path | None, typer.Option("--config", "-c", help="The configuration file, YAML.")
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Listen here; without API keys, on loopback only.")
    ] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Listen here.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the address.")] = 1,
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
    from pydantic import ValidationError

    from embedway_gateway.config.load import load_config
    from embedway_gateway.config.schema import ServerConfig, default_config
    from embedway_gateway.serve import serve as run
    from embedway_local.catalogue import DEFAULT_MODEL

    loaded = load_config(config) if config else default_config(DEFAULT_MODEL)
    stated = {"host": host, "port": port}
    changes = {key: value for key, value in stated.items() if value is not None}
    try:
        server = ServerConfig.model_validate({**loaded.server.model_dump(), **changes})
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise typer.BadParameter(message) from None
    run(loaded.model_copy(update={"server": server}), workers=workers)
