"""An encoder whose work is done by Ray actors, as they start, die and start again."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import ray  # pyright: ignore[reportMissingImports]  # the extra `ray`
from ray.exceptions import (  # pyright: ignore[reportMissingImports]
    RayActorError,
    RayError,
    RayTaskError,
)

from embedway_client.embedding import EmbeddingResult
from embedway_gateway.bulk.encoder import InputType
from embedway_gateway.bulk.error import BadVectors, ClusterFailed, WorkerFailed
from embedway_gateway.bulk.ray.worker import Answer, Order, Started, Worker
from embedway_local.ray import room

__all__ = ["Pool"]

_T = TypeVar("_T")

# While one chunk is computed, the next is tokenised or on its way.
_SEATS = 2
# How often the chunk of a worker that died is given to it again: a crash may be the chunk's fault.
_RETRIES = 3
# Seconds: until it is told that workers have not started, and until none ever will.
_NOTICE = 20.0
_PATIENCE = 600.0


class _Method(Protocol):
    def remote(self, *arguments: object) -> object: ...


class _Actor(Protocol):
    start: _Method
    encode: _Method


class Pool:
    """
    `count` workers, by default as many as the cluster has room for; safe to call from threads.

    Those that have started work, while others may still wait for a node or load the model. One
    that dies is started again, and its chunks with it, by Ray. `say` is told what a user would
    wonder about. Raises `ClusterFailed` where there is no room for a worker and none is to be
    expected, because the cluster never `grows`.
    """

    def __init__(
        self, order: Order, *, count: int | None, grows: bool, say: Callable[[str], None]
    ) -> None:
        self._order = order
        self._say = say
        self._change = threading.Condition()
        self._free: dict[_Actor, int] = {}
        self._process: dict[_Actor, int] = {}
        self._first: Started | None = None
        self._failure: Exception | None = None
        self._closed = False
        fits = room(order.cpus, order.gpus)
        self.count = count or max(1, fits)
        if fits == 0:
            if not grows:
                raise ClusterFailed(self._waiting())
            say(f"{self._waiting()}; waiting for more nodes")
        remote = ray.remote(Worker).options(
            num_cpus=order.cpus,
            num_gpus=order.gpus,
            max_restarts=-1,
            max_task_retries=_RETRIES,
            max_concurrency=_SEATS,
        )
        self._actors: list[_Actor] = [remote.remote(order) for _ in range(self.count)]
        threading.Thread(target=self._admit, name="embedway-ray", daemon=True).start()

    @property
    def in_flight(self) -> int:
        """How many chunks can be under way at once."""
        return self.count * _SEATS

    def encode(self, texts: Sequence[str], *, input_type: InputType) -> EmbeddingResult:
        """One vector a text; raises what the worker raised, `WorkerFailed` or `ClusterFailed`."""
        actor = self._take()
        try:
            answer = _got(actor.encode.remote(texts, input_type), Answer)
        finally:
            self._give(actor)
        self._notice(actor, answer.process)
        return answer.result

    def close(self) -> None:
        """Whoever waits for a worker gets none any more."""
        self._fail(RuntimeError("this Pool is closed"))

    def _take(self) -> _Actor:
        with self._change:
            while True:
                if self._failure is not None:
                    raise self._failure
                actor = max(self._free, key=self._free.__getitem__, default=None)
                if actor is not None and self._free[actor]:
                    self._free[actor] -= 1
                    return actor
                self._change.wait()

    def _give(self, actor: _Actor) -> None:
        with self._change:
            self._free[actor] += 1
            self._change.notify()

    def _admit(self) -> None:
        """In a thread of its own: whoever waits for a worker is told what is raised."""
        try:
            self._admit_all()
        except Exception as error:  # noqa: BLE001 – the last resort: a thread that dies says nothing
            self._fail(error)

    def _admit_all(self) -> None:
        waiting = {actor.start.remote(): actor for actor in self._actors}
        begun, told = time.monotonic(), False
        while waiting and self._failure is None:
            done, _ = ray.wait(list(waiting), timeout=1)
            for ready in done:
                self._admit_one(waiting.pop(ready), _got(ready, Started))
            waited = time.monotonic() - begun
            if waiting and waited > _NOTICE and not told:
                told = True
                self._say(self._waiting())
            if not self._free and waited > _PATIENCE:
                raise ClusterFailed(f"{self._waiting()}; given up after {waited:,.0f} s")

    def _admit_one(self, actor: _Actor, started: Started) -> None:
        first = self._first = self._first or started
        if first.vector_space != started.vector_space:
            raise BadVectors(
                f"two workers have models in different vector spaces: {first.vector_space} on node "
                f"{first.node}, {started.vector_space} on node {started.node}; every node must "
                "have the same files of the model and the same version of embedway"
            )
        self._process[actor] = started.process
        with self._change:
            self._free[actor] = _SEATS
            self._change.notify_all()

    def _fail(self, error: Exception) -> None:
        with self._change:
            self._failure = self._failure or error
            self._change.notify_all()

    def _notice(self, actor: _Actor, process: int) -> None:
        if self._process[actor] != process:
            self._process[actor] = process
            self._say("A worker died and was started again; its chunks are computed anew.")

    def _waiting(self) -> str:
        order, there = self._order, ray.cluster_resources()
        return (
            f"{len(self._free)} of {self.count} workers have started; each wants "
            f"{order.cpus:g} CPU, {order.gpus:g} GPU, and the cluster has {there.get('CPU', 0):g} "
            f"CPU, {there.get('GPU', 0):g} GPU (--workers, --cpus-per-worker, --gpus-per-worker)"
        )


def _got(reference: object, kind: type[_T]) -> _T:
    """What an actor answered; its error as it was raised there, or a sentence about the actor."""
    try:
        answer = ray.get(reference)
    except RayTaskError as error:
        raise _cause(error) from None
    except RayActorError as error:
        raise _lost(str(error)) from error
    except RayError as error:
        raise ClusterFailed(f"Ray failed: {error}") from error
    assert isinstance(answer, kind)
    return answer


def _cause(error: RayTaskError) -> Exception:
    cause = error.cause
    if isinstance(cause, ImportError):
        return _unfit("\n".join([f"{cause}", *getattr(cause, "__notes__", ())]))
    return cause if isinstance(cause, Exception) else ClusterFailed(f"Ray failed: {error}")


def _lost(said: str) -> WorkerFailed:
    if missing := re.findall(r"No module named '[^']+'", said):
        return _unfit(missing[-1])
    return WorkerFailed(
        f"a worker died over the same texts {_RETRIES + 1} times, or cannot be reached any more; "
        "most often a node has too little memory: give each worker more CPUs, so that there are "
        f"fewer on a node, or a smaller --batch-size. Ray says: {said.splitlines()[0]}"
    )


def _unfit(said: str) -> WorkerFailed:
    return WorkerFailed(
        f"a worker lacks a package: {said}\nEvery node needs what this machine has, in the same "
        'version: pip install "embedway[local,ray]"'
    )
