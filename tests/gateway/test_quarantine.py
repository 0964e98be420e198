"""An upstream that is quarantined for its vectors serves nothing else either."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from doubles.chat_upstream import ChatUpstream
from doubles.engine_ovms import OVMS
from doubles.serving import served
from embedway_gateway.assemble import put_together
from embedway_gateway.config.schema import Config
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model
from embedway_gateway.transport import AiohttpTransport
from embedway_upstream import RerankRequest, WrongSpace
from embedway_upstream.chat import ChatRequest


class Several:
    """Embeds, reranks and chats, unless it is `down`; `paths` are what it was asked for."""

    def __init__(self, model: str) -> None:
        self._embeds = OVMS(model=model)
        self._chats = ChatUpstream()
        self.paths: list[str] = []
        self.down = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        self.paths.append(path)
        if self.down:
            await send({"type": "http.response.start", "status": 503, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await (self._chats if "chat" in path else self._embeds)(scope, receive, send)


@contextlib.asynccontextmanager
async def gateway(*servers: Several) -> AsyncIterator[Model]:
    """A model of three tasks, whose upstreams have been compared."""
    transport = AiohttpTransport()
    with contextlib.ExitStack() as stack:
        upstreams = [
            {
                "name": f"up{number}",
                "engine": "ovms",
                "model": "ab"[number],
                "url": stack.enter_context(served(server)),
            }
            for number, server in enumerate(servers)
        ]
        model = {
            "name": "m",
            "dimensions": 8,
            "capabilities": ["embed", "rerank", "chat"],
            "upstreams": upstreams,
        }
        routing = {"attempts": 2, "retry_wait": "1ms"}
        config = Config.model_validate({"models": [model], "routing": routing})
        (found,) = put_together(config, transport, Metrics()).models
        try:
            for state in found.upstreams:
                assert state.space is not None
                with contextlib.suppress(WrongSpace):
                    await state.space.prove()
            yield found
        finally:
            await transport.close()


async def ranked(model: Model) -> str:
    assert model.rerank is not None
    return (await model.rerank.send(RerankRequest("m", "q", ("a", "b")))).served_by


async def talked(model: Model) -> str:
    assert model.chat is not None
    reply = await model.chat.send(ChatRequest("m", "chat", {}))
    reply.flow.close()
    return reply.served_by


@pytest.mark.parametrize("ask", [ranked, talked])
async def test_what_is_quarantined_for_its_vectors_neither_reranks_nor_chats(ask: Any) -> None:
    good, stray = Several("a"), Several("b")
    async with gateway(good, stray) as model:
        assert ["up1"] == list(model.quarantined)
        stray.paths.clear()

        assert {"up0"} == {await ask(model) for _ in range(8)}
        assert [] == stray.paths


@pytest.mark.parametrize("ask", [ranked, talked])
async def test_it_does_not_where_nobody_else_is_left_either(ask: Any) -> None:
    good, stray = Several("a"), Several("b")
    async with gateway(good, stray) as model:
        stray.paths.clear()
        good.down = True
        model.upstreams[0].target.breaker.failed(0.0, 1e12, at_once=True)

        with pytest.raises(WrongSpace, match="differ from those of 'up0'"):
            await ask(model)
        assert [] == stray.paths
