"""A counting double of the client, and a way to run a whole job in a few words."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from embedway_gateway.bulk.job import Done, Job
from embedway_gateway.bulk.manifest import Manifest
from embedway_gateway.bulk.parts import Mode, Parts
from embedway_gateway.bulk.row import Fields
from embedway_gateway.bulk.sink import sink_for
from embedway_gateway.bulk.source import Source
from embedway_upstream import Usage
from embedway_upstream.testing import fake_vectors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass
class FakeEncoded:
    vectors: NDArray[np.float32]
    usage: Usage
    vector_space: str | None


@dataclass
class CountingEncoder:
    """Remembers how often each text was embedded; `before` is called with each call's texts."""

    dimensions: int = 4
    vector_space: str | None = "vs1-a"
    before: Callable[[Sequence[str]], None] = lambda texts: None
    embedded: Counter[str] = field(default_factory=Counter)
    calls: list[list[str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def encode(self, texts: Sequence[str], *, input_type: str) -> FakeEncoded:
        self.before(texts)
        with self.lock:
            self.embedded.update(texts)
            self.calls.append(list(texts))
        vectors = fake_vectors([f"{input_type}: {text}" for text in texts], self.dimensions)
        return FakeEncoded(vectors, Usage(len(texts), len(texts)), self.vector_space)


class Interrupted(BaseException):
    """Stands for a process that ends: nothing may catch it."""


@dataclass
class Bulk:
    """Embeds `inputs` into `out` as the command does, with doubles."""

    out: Path
    inputs: Sequence[str | Path]
    batch_size: int = 3
    in_flight: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    fields: Fields = field(default_factory=Fields)

    def __call__(
        self,
        encoder: CountingEncoder,
        mode: Mode = "new",
        report: Callable[[int, bool], None] = lambda rows, fresh: None,
    ) -> Done:
        source = Source([str(path) for path in self.inputs], self.fields)
        sink = sink_for(self.out, keep=self.fields.keep, named=self.fields.id is not None)
        wanted = {
            "model": "m",
            "input_type": "document",
            "dimensions": None,
            "batch_size": self.batch_size,
            "text_field": self.fields.text,
            "id_field": self.fields.id,
            "keep": self.fields.keep,
        }
        manifest = Manifest(**{**wanted, **self.options})
        with Parts.open(self.out, manifest, mode) as parts:
            job = Job(source=source, sink=sink, parts=parts, in_flight=self.in_flight)
            return job.run(encoder, report)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


@pytest.fixture(scope="session")
def make_encoder() -> type[CountingEncoder]:
    return CountingEncoder


@pytest.fixture(scope="session")
def bulk() -> type[Bulk]:
    return Bulk


@pytest.fixture(scope="session")
def interrupted() -> type[BaseException]:
    return Interrupted


@pytest.fixture(scope="session")
def interrupt_after() -> Callable[[int], Callable[[int, bool], None]]:
    """A report that ends the process, so to say, after so many chunks."""

    def make(chunks: int) -> Callable[[int, bool], None]:
        left = chunks

        def report(rows: int, fresh: bool) -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                raise Interrupted

        return report

    return make


@pytest.fixture
def slow_first() -> Callable[[Sequence[str]], None]:
    """Makes the earlier chunks the slower ones."""

    def before(texts: Sequence[str]) -> None:
        time.sleep(0.002 * (10 - min(10, int(texts[0].rpartition(" ")[2]))))

    return before
