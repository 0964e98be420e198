"""Embeds chunks inside a Ray actor: the model, or the way to the gateway, is opened once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from embedway_client.client import Client
from embedway_client.embedding import EmbeddingResult
from embedway_client.local import Local, Precision
from embedway_gateway.bulk.encoder import InputType
from embedway_local.ray import opened

__all__ = ["Answer", "Order", "Started", "Worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a worker embeds with."""

    model: str
    base_url: str
    """"local", or a gateway's address as seen from the worker."""
    api_key: str | None = field(repr=False)
    dimensions: int | None
    precision: Precision
    cpus: float
    gpus: float


@dataclass(frozen=True, slots=True)
class Started:
    """A worker that is ready."""

    node: str
    process: int
    vector_space: str | None
    """Of the model in it; None where a gateway embeds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A chunk's vectors, and which process computed them."""

    result: EmbeddingResult
    process: int


class Worker:
    """
    What Ray makes an actor of; `start` and `encode` run in several threads at once.

    The model is loaded by whatever comes first: Ray makes a worker anew when its process has died,
    and then calls no `start`. Errors name the node.
    """

    def __init__(self, order: Order) -> None:
        self._encoder: Client | Local
        if order.base_url == "local":
            load = partial(opened, order.model, order.precision, cpus=order.cpus, gpus=order.gpus)
            self._encoder = Local(order.model, dimensions=order.dimensions, load=load)
        else:
            self._encoder = Client(
                order.model,
                base_url=order.base_url,
                api_key=order.api_key,
                dimensions=order.dimensions,
                precision=order.precision,
            )

    def start(self) -> Started:
        """Load the model, if it is to be in this process."""
        with _named():
            local = self._encoder if isinstance(self._encoder, Local) else None
            return Started(_node(), os.getpid(), local.fingerprint if local else None)

    def encode(self, texts: Sequence[str], input_type: InputType) -> Answer:
        """One vector a text."""
        with _named():
            if isinstance(self._encoder, Local):
                return Answer(self._encoder.encode(texts, input_type), os.getpid())
            return Answer(self._encoder.encode(texts, input_type=input_type), os.getpid())


@contextmanager
def _named() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # whatever it is, where it happened belongs to it
        error.add_note(f"This was said by a worker on node {_node()}.")
        raise


def _node() -> str:
    import ray  # pyright: ignore[reportMissingImports]

    return str(ray.util.get_node_ip_address())
