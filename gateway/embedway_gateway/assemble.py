"""Makes everything behind the HTTP interface from a configuration."""

from __future__ import annotations

from functools import partial

from embedway_gateway.config.credential import make_credentials
from embedway_gateway.config.schema import Config
from embedway_gateway.discovered import Discovered, make_discovery
from embedway_gateway.layers.retry import Budget
from embedway_gateway.leaf import measure
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Models
from embedway_gateway.stack import build_model
from embedway_upstream import Transport

__all__ = ["assemble"]


def assemble(
    config: Config, transport: Transport, metrics: Metrics
) -> tuple[Models, Discovered | None]:
    """The models of a configuration, and what adds those that are discovered, if it is asked."""
    credentials = {name: make_credentials(item) for name, item in config.credentials.items()}
    build = partial(
        build_model,
        credentials=credentials,
        transport=transport,
        metrics=metrics,
        # One for all models: an outage of one platform is an outage of them all.
        budget=Budget(),
    )
    models = Models([build(item) for item in config.models])
    if not config.discovery:
        return models, None
    discovery, logins = make_discovery(config, credentials, transport)
    asked = partial(measure, credentials=credentials, transport=transport)
    return models, Discovered(discovery, models, logins=logins, build=build, measure=asked)
