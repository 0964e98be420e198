"""The provider is registered, and LiteLLM has logged when a call ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import litellm
import pytest
from litellm.litellm_core_utils.logging_worker import GLOBAL_LOGGING_WORKER

from litellm_embedway import embedway, register
from litellm_embedway.pool import Pool


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(litellm, "custom_provider_map", [])
    pool = Pool()
    monkeypatch.setattr(embedway, "_pool", pool)
    register()
    yield
    pool.close()


async def _finished(work):
    """The result, once LiteLLM has logged it: it leaves that to a task of the same loop."""
    GLOBAL_LOGGING_WORKER.start()  # In this loop, instead of the one before.
    try:
        return await work
    finally:
        await GLOBAL_LOGGING_WORKER.flush()
        await GLOBAL_LOGGING_WORKER.stop()


@pytest.fixture(params=["sync", "async"])
def call(request):
    def run(texts, **options):
        known = {"model": "embedway/m", "input": texts, **options}
        if request.param == "sync":
            return litellm.embedding(**known)
        return asyncio.run(_finished(litellm.aembedding(**known)))

    return run


@pytest.fixture
def finished():
    """Makes of LiteLLM's coroutine one that leaves nothing to a task when it has ended."""
    return _finished
