"""Lets traces see an upstream's calls and where they waited, where there are traces."""

from __future__ import annotations

from embedway_gateway.config.schema import UpstreamConfig
from embedway_gateway.phase import Phases, Waited, unwatched
from embedway_gateway.shared import Shared
from embedway_upstream.flow import StreamTransport

__all__ = ["queue_wait", "traced_wait", "transport_of"]


def transport_of(item: UpstreamConfig, shared: Shared) -> StreamTransport:
    """What carries its calls, with the headers of a trace where its platform is to see them."""
    tracing = shared.tracing
    if tracing is None or item.platform not in tracing.platforms:
        return shared.transport
    from embedway_gateway.tracing.carry import Carry

    return Carry(shared.transport, tracing)


def traced_wait(shared: Shared) -> Waited:
    """Told of where a call waits, for traces alone."""
    return unwatched if shared.tracing is None else shared.tracing.queued


def queue_wait(phases: Phases, shared: Shared) -> Waited:
    """Told of where requests to rerank and to chat wait."""
    if shared.tracing is None:
        return phases.queue.took
    traced = shared.tracing.queued

    def waited(begun: float, ended: float) -> None:
        phases.queue.took(begun, ended)
        traced(begun, ended)

    return waited
