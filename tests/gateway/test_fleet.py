"""What stays, what is made anew and what is closed when the configuration changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from embedway_gateway.config.schema import Config
from embedway_gateway.fleet import Fleet
from embedway_gateway.local import Local
from embedway_gateway.metric import Metrics
from embedway_gateway.transport import AiohttpTransport
from embedway_upstream import EmbeddingRequest

URL = "http://127.0.0.1:9"


def remote(name: str, **more: Any) -> dict[str, Any]:
    upstream = {"name": "up", "engine": "openai", "url": URL, **more}
    return {"name": name, "dimensions": 8, "upstreams": [upstream]}


def local(**more: Any) -> dict[str, Any]:
    """The default model, in this process."""
    model = "sentence-transformers/all-MiniLM-L6-v2"
    upstream = {"name": "here", "engine": "local", "device": "cpu", "model": model}
    return {"name": "local", "upstreams": [upstream], **more}


def config(*models: dict[str, Any], **more: Any) -> Config:
    return Config.model_validate({"models": list(models), **more})


async def at_once() -> None:
    """No request runs."""


@asynccontextmanager
async def running(first: Config) -> AsyncIterator[Fleet]:
    transport = AiohttpTransport()
    fleet = Fleet(first, transport, Metrics())
    fleet.start()
    try:
        yield fleet
    finally:
        await fleet.close()
        await transport.close()


async def test_a_model_that_did_not_change_stays_as_it_is() -> None:
    async with running(config(remote("a"), remote("b"))) as fleet:
        a, b = fleet.models["a"], fleet.models["b"]
        await fleet.change(
            config(remote("c"), remote("b", timeout=1), remote("a")), settled=at_once
        )

        assert list(fleet.models) == ["c", "b", "a"]
        assert fleet.models["a"] is a
        assert fleet.models["b"] is not b


@pytest.mark.parametrize(
    ("section", "old", "new"),
    [
        (
            "credentials",
            {"key": {"type": "bearer", "token": "one"}},
            {"key": {"type": "bearer", "token": "two"}},
        ),
        ("routing", {"attempts": 3}, {"attempts": 2}),
    ],
)
async def test_a_model_is_made_anew_when_what_it_uses_changed(
    section: str, old: Any, new: Any
) -> None:
    key = {"credentials": "key"} if section == "credentials" else {}
    async with running(config(remote("a", **key), **{section: old})) as fleet:
        a = fleet.models["a"]
        await fleet.change(config(remote("a", **key), **{section: old}), settled=at_once)
        assert fleet.models["a"] is a
        await fleet.change(config(remote("a", **key), **{section: new}), settled=at_once)

        assert fleet.models["a"] is not a


async def test_credentials_that_others_use_are_nobodys_business() -> None:
    def keys(token: str) -> dict[str, Any]:
        both = {"mine": "same", "theirs": token}
        return {name: {"type": "bearer", "token": text} for name, text in both.items()}

    async with running(config(remote("a", credentials="mine"), credentials=keys("one"))) as fleet:
        a = fleet.models["a"]
        again = config(remote("a", credentials="mine"), credentials=keys("two"))
        await fleet.change(again, settled=at_once)

        assert fleet.models["a"] is a


def local_of(fleet: Fleet) -> Local:
    local = fleet.models["local"].local
    assert local is not None
    return local


@pytest.mark.usefixtures("model_in_store")
async def test_a_local_model_is_loaded_once_whatever_else_changes_about_it() -> None:
    async with running(config(local())) as fleet:
        before, model = await local_of(fleet).load(), fleet.models["local"]
        await fleet.change(config(local(aliases=["x"], dimensions=384)), settled=at_once)

        assert fleet.models["x"] is not model
        assert local_of(fleet).facts is before


@pytest.mark.usefixtures("model_in_store")
async def test_a_new_local_model_is_loaded_before_it_serves() -> None:
    async with running(config(remote("local"))) as fleet:
        before = fleet.models["local"]
        change = asyncio.create_task(fleet.change(config(local()), settled=at_once))
        await asyncio.sleep(0)
        assert fleet.models["local"] is before
        await change

        assert local_of(fleet).facts is not None


@pytest.mark.usefixtures("model_in_store")
async def test_a_local_model_that_is_gone_is_closed_after_its_last_request() -> None:
    over = asyncio.Event()

    async def settled() -> None:
        await over.wait()

    request = EmbeddingRequest("local", ("a",))
    async with running(config(local())) as fleet:
        await local_of(fleet).load()
        model = fleet.models["local"]
        await fleet.change(config(remote("a")), settled=settled)
        assert "local" not in fleet.models
        response = await model.service.send(request)
        assert response.vectors.shape == (1, 384)
        over.set()
        await asyncio.sleep(0.01)

        with pytest.raises(Exception, match="local runtime failed"):
            await model.service.send(request)


async def test_what_cannot_be_assembled_changes_nothing() -> None:
    async with running(config(remote("a"))) as fleet:
        a, served = fleet.models["a"], fleet.config
        broken = {"type": "aicore", "service_key_file": "/nowhere"}
        bad = config(remote("b")).model_copy(update={"credentials": {"key": _unchecked(broken)}})
        with pytest.raises(ValueError, match="No such file"):
            await fleet.change(bad, settled=at_once)

        assert fleet.models["a"] is a
        assert fleet.config is served


def _unchecked(item: dict[str, Any]) -> Any:
    """As if the file had vanished after the configuration was checked."""
    from embedway_gateway.config.credential import AICoreConfig

    return AICoreConfig.model_construct(**item)
