"""Lets discovery look once, and tells what it found and what stood in its way."""

from __future__ import annotations

from embedway_gateway.assemble import assemble
from embedway_gateway.config.schema import Config, ModelConfig
from embedway_gateway.metric import Metrics
from embedway_gateway.survey.finding import Finding
from embedway_upstream.flow import StreamTransport

__all__ = ["look"]


async def look(
    config: Config, transport: StreamTransport
) -> tuple[list[ModelConfig], list[Finding]]:
    """The models that the configuration does not name, and a finding for each failure."""
    models, discovered = assemble(config, transport, Metrics())
    if discovered is None:
        return [], []
    await discovered.look()
    named = {model.name for model in config.models}
    found = [model.config for name, model in models.items() if name not in named]
    failed = [
        Finding(model="", upstream=source, problem=problem)
        for source, problem in discovered.failures.items()
    ]
    left_out = [
        Finding(model=name, upstream="", problem=f"it is found, but not served: {problem}")
        for name, problem in discovered.left_out.items()
    ]
    unfit = [
        Finding(model=name, upstream=upstream, problem=f"it is found, but not served: {problem}")
        for name, several in discovered.unfit.items()
        for upstream, problem in several.items()
    ]
    return found, [*failed, *left_out, *unfit]
