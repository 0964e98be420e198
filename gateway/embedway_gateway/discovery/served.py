"""What a deployment itself says that it serves."""

from __future__ import annotations

from typing import cast

from embedway_gateway.discovery.classify import Served
from embedway_gateway.discovery.deployment import Deployment
from embedway_gateway.discovery.exchange import Exchange
from embedway_gateway.discovery.field import entries, parse, table, text
from embedway_gateway.discovery.found import Capability, EngineName
from embedway_upstream import BadReply

__all__ = ["ask_served"]

_OWNERS: dict[str, EngineName] = {"vllm": "vllm", "infinity": "infinity", "ovms": "ovms"}
_CAPABILITIES = frozenset({"embed", "rerank", "chat"})


async def ask_served(exchange: Exchange, deployment: Deployment) -> tuple[Served, ...]:
    """
    The answer to `GET {url}/predict/v1/models`, which the suffix style offers. infinity
    says there what each model can do. Raises an `EmbeddingError`.
    """
    reply = await exchange.get(f"{deployment.url}/predict{deployment.models_path}")
    listed = table(parse(reply.body)).get("data")
    if not isinstance(listed, list):
        raise BadReply("its list of models is not in OpenAI's form")
    served = []
    for item in entries(listed):
        entry = table(item)
        name = text(entry.get("id"))
        words = {text(word) for word in entries(entry.get("capabilities"))} & _CAPABILITIES
        owner = text(entry.get("owned_by")).lower()
        if name and name.isprintable():
            capabilities = frozenset(cast("set[Capability]", words))
            served.append(Served(name, _OWNERS.get(owner), capabilities))
    return tuple(served)
