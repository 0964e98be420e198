"""LiteLLM itself: loaded when it is first needed, off the event loop, and told to be quiet."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine
from importlib import import_module
from typing import Protocol, cast

from embedway_upstream import UpstreamRefused

__all__ = ["Library", "LiteLLM", "open_litellm"]


class LiteLLM(Protocol):
    """What is used of the package."""

    def aembedding(self, **asked: object) -> Awaitable[object]: ...
    def arerank(self, **asked: object) -> Awaitable[object]: ...


class _Settings(LiteLLM, Protocol):
    suppress_debug_info: bool
    telemetry: bool
    turn_off_message_logging: bool
    drop_params: bool
    DEFAULT_MAX_RETRIES: int


class _NoLog:
    """Stands for LiteLLM's logging worker."""

    def ensure_initialized_and_enqueue(
        self, async_coroutine: Coroutine[object, object, object]
    ) -> None:
        async_coroutine.close()


def open_litellm() -> LiteLLM:
    """Import and silence the package: 2.3 s and 150 MiB, so in a thread. Raises `ImportError`."""
    # Read while it is imported: without them it asks GitHub for prices, and takes whatever `.env`
    # lies in the working folder into the environment. What the user has set stays.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    os.environ.setdefault("LITELLM_MODE", "PRODUCTION")
    # It logs requests and replies, to a handler of its own.
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).disabled = True
    litellm = cast("_Settings", import_module("litellm"))
    litellm.suppress_debug_info = True
    litellm.telemetry = False
    litellm.turn_off_message_logging = True
    # A parameter that a provider does not take is an error: a query must not become a document.
    litellm.drop_params = False
    # `max_retries=0` counts as "not given" for most providers, and this is then taken.
    litellm.DEFAULT_MAX_RETRIES = 0
    # Its log of what succeeded: a queue that keeps replies, and works out what each would cost.
    worker = import_module("litellm.litellm_core_utils.logging_worker")
    worker.__dict__["GLOBAL_LOGGING_WORKER"] = _NoLog()
    return litellm


class Library:
    """The package for one upstream."""

    def __init__(self, name: str, *, open_: Callable[[], LiteLLM] = open_litellm) -> None:
        self._name = name
        self._open = open_
        self._loaded: LiteLLM | None = None
        self.problem = "LiteLLM is being loaded"
        """Why it does not serve; empty when it does."""

    async def load(self) -> LiteLLM:
        """The package; `UpstreamRefused` says how to install it. Callers at once share the work."""
        if self._loaded is None:
            try:
                # Not repeated by a second caller, who waits for the import's own lock.
                self._loaded = await asyncio.to_thread(self._open)
            except ImportError as error:
                self.problem = f'{error.name} is not installed: pip install "embedway[litellm]"'
                raise UpstreamRefused(self.problem, upstream=self._name) from None
            self.problem = ""
        return self._loaded
