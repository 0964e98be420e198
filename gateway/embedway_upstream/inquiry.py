"""What an upstream can be asked of itself, and what its answers tell, without I/O."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from embedway_upstream.call import HTTPCall, HTTPReply
from embedway_upstream.engines.probe import Facts, Probe
from embedway_upstream.engines.registry import ENGINES, Options
from embedway_upstream.error import BadReply

if TYPE_CHECKING:
    from embedway_upstream.endpoint import Endpoint

__all__ = ["Question", "betrayal", "learned", "questions", "readiness"]

# What only one kind of server answers, in the form that is its own. vLLM's and OpenAI's list of
# models are alike.
_SIGNS: Mapping[str, str] = MappingProxyType(
    {"tei": "/info", "ovms": "/v1/config", "vllm": "/version", "infinity": "/models"}
)


@dataclass(frozen=True, slots=True)
class Question:
    """A signed GET, and the probe whose answer it brings."""

    call: HTTPCall
    probe: Probe
    engine: str = ""
    """Whose probe it is, where that is to be found out."""


def questions(endpoint: Endpoint) -> list[Question]:
    """
    What the upstream's engine tells of itself, and whether it serves. None where the platform
    carries no GET to it. Raises `CredentialsError` when the credentials were never refreshed.
    """
    probes = [*endpoint.engine.probes, *_ready(endpoint)]
    return _written(endpoint, (("", probe) for probe in probes))


def readiness(endpoint: Endpoint) -> Question | None:
    """Whether it serves, which a 200 says; None where it cannot be asked. Raises as `questions`."""
    found = _written(endpoint, (("", probe) for probe in _ready(endpoint)))
    return found[0] if found else None


def betrayal(endpoint: Endpoint) -> list[Question]:
    """What each kind of server would be known by, whatever the configuration says it is."""
    signs = (
        (name, probe)
        for name, path in _SIGNS.items()
        for probe in ENGINES[name](Options()).probes
        if probe.path == path
    )
    return _written(endpoint, signs)


def learned(endpoint: Endpoint, question: Question, reply: HTTPReply) -> Facts | None:
    """
    What the reply tells; None for what is not there, or in no known form. Raises what a failure, a
    refusal of the credentials, or the platform's word stands for.
    """
    if reply.status == 200:
        try:
            return question.probe.read(reply.body)
        except BadReply:
            return None
    said = endpoint.platform.error(reply.status, reply.headers, reply.body)
    if said is not None or reply.status in {401, 403} or reply.status >= 500:
        endpoint.require_ok(reply)
    return None


def _ready(endpoint: Endpoint) -> list[Probe]:
    path = endpoint.engine.ready
    return [] if path is None else [Probe(path, lambda _body: Facts())]


def _written(endpoint: Endpoint, probes: Iterable[tuple[str, Probe]]) -> list[Question]:
    found = []
    for engine, probe in probes:
        url = endpoint.platform.probe_address(probe.path)
        if url is None:
            continue
        headers = {"accept": "application/json", **endpoint.platform.headers(probe.path)}
        headers.update(endpoint.credentials.sign("GET", url, headers, b""))
        found.append(Question(HTTPCall("GET", url, headers, b""), probe, engine))
    return found
