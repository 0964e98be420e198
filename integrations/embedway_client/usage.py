"""Who is told what a call has cost: a callback, and whoever collects around the call."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_upstream.embedding import Usage

if TYPE_CHECKING:
    from embedway_client.embedding import EmbeddingResult
    from embedway_upstream.rerank import RerankResponse

__all__ = ["OnUsage", "Report", "UsageCollector", "UsageEvent", "collect_usage"]


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One call that succeeded, in however many requests."""

    model: str
    operation: Literal["embed", "rerank"]
    texts: int
    """Or documents."""
    usage: Usage
    fallback: bool
    """Whether a fallback answered for at least a part."""


OnUsage: TypeAlias = Callable[[UsageEvent], None]


class UsageCollector:
    """Sums of the calls that it was told of; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._usage: dict[str, Usage] = {}
        self._calls = self._texts = 0

    def add(self, event: UsageEvent) -> None:
        """Count one call."""
        with self._lock:
            before = self._usage.get(event.model, Usage(0, 0))
            self._usage[event.model] = before + event.usage
            self._calls += 1
            self._texts += event.texts

    @property
    def usage(self) -> Mapping[str, Usage]:
        """By the model's name."""
        with self._lock:
            return dict(self._usage)

    @property
    def usage_metadata(self) -> dict[str, dict[str, int]]:
        """The same in the form in which LangChain tells the usage of chat models."""
        return {
            model: {
                "input_tokens": used.prompt_tokens,
                "output_tokens": 0,
                "total_tokens": used.total_tokens,
            }
            for model, used in self.usage.items()
        }

    @property
    def total_tokens(self) -> int:
        """Of all models."""
        return sum(used.total_tokens for used in self.usage.values())

    @property
    def calls(self) -> int:
        """That succeeded, and had texts."""
        return self._calls

    @property
    def texts(self) -> int:
        """And documents."""
        return self._texts

    def __repr__(self) -> str:
        return f"UsageCollector({self.usage_metadata!r})"


_collectors: ContextVar[tuple[UsageCollector, ...]] = ContextVar("embedway_usage", default=())


@contextmanager
def collect_usage() -> Iterator[UsageCollector]:
    """
    Count the calls that are made inside, by any object of ours.

        with collect_usage() as collected:
            store.add_texts(texts)
        collected.total_tokens

    Inside is this task, the tasks that it starts and the threads that carry its context, as
    `asyncio.to_thread` and LangChain's own executors do. Where one is inside another, both count.
    """
    collector = UsageCollector()
    token = _collectors.set((*_collectors.get(), collector))
    try:
        yield collector
    finally:
        _collectors.reset(token)


@dataclass(frozen=True, slots=True)
class Report:
    """Tells of one model's calls. What `on_usage` raises reaches the caller."""

    model: str
    on_usage: OnUsage | None

    def embedded(self, result: EmbeddingResult) -> EmbeddingResult:
        """The result, of at least one text."""
        texts = len(result.vectors)
        self._tell(UsageEvent(self.model, "embed", texts, result.usage, result.fallback))
        return result

    def ranked(self, response: RerankResponse, documents: int) -> RerankResponse:
        """The response, of at least one document."""
        self._tell(UsageEvent(self.model, "rerank", documents, response.usage, response.fallback))
        return response

    def _tell(self, event: UsageEvent) -> None:
        for collector in _collectors.get():
            collector.add(event)
        if self.on_usage is not None:
            self.on_usage(event)
