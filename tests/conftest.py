"""What tests of several parts share: the real model, and the real gateway in front of it."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator

import fastapi.dependencies.models
import pytest
from hypothesis import HealthCheck, settings

from doubles.gateway_process import GatewayProcess, running_gateway
from embedway_local import DEFAULT_MODEL, Store, embedway_home, pull

# How long an example takes is the machine's affair: on a busy one nothing may fail for it.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


# What a shell runs in the background ignores it, and so would what tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """
    What thousands of tests are made of is not looked through again for garbage: each time took most
    of a second, in which gateways and servers in this process stood still.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def forgotten() -> Iterator[None]:
    """
    FastAPI remembers the routes of the last 450 applications, and with them whole gateways, whose
    thousands of objects are looked through for garbage again and again.
    """
    yield
    for item in vars(fastapi.dependencies.models).values():
        if hasattr(item, "cache_clear"):
            item.cache_clear()


@pytest.fixture(scope="session")
def model_in_store() -> str:
    """The default model's name; it is in the store, downloaded once a machine."""
    store = Store(embedway_home())
    if not store.has(DEFAULT_MODEL):
        pull(DEFAULT_MODEL, store)
    return DEFAULT_MODEL


@pytest.fixture(scope="session")
def gateway(model_in_store: str) -> Iterator[GatewayProcess]:
    """`embedway serve` without a configuration, ready."""
    with running_gateway() as running:
        running.wait_ready()
        yield running
