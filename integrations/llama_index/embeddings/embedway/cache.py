"""Which vectors of a key-value store may be used, and under which keys they are there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeGuard

from embedway_client import EmbeddingResult
from embedway_upstream import Usage

__all__ = ["COLLECTION", "Cache", "Embed", "Fetched", "Keep", "Look", "Said", "Step", "Steps"]

COLLECTION = "embeddings"
"""Where the framework has its own, under the bare text; no key of ours is like one of those."""

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Fetched:
    """Vector i is text i's; the usage is of what was not in the cache."""

    vectors: list[list[float]]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Look:
    """Ask the store for this key."""

    key: str


@dataclass(frozen=True, slots=True)
class Embed:
    """Embed these texts."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """Store this value."""

    key: str
    value: dict[str, object]


Step: TypeAlias = Look | Embed | Keep
Said: TypeAlias = "EmbeddingResult | dict[str, object] | None"
Steps: TypeAlias = Generator[Step, Said, Fetched]


@dataclass(slots=True)
class Cache:
    """
    Vectors are found by their space, and by everything else that they depend on, so that models
    which share a store never get each other's.

    `place` is where they come from: it stands for the space where a server tells none.
    """

    place: str
    dimensions: int | None
    prompts: Mapping[str, str]
    settled: str | None = field(default=None)
    """What stands for the space, once the server was seen to tell none."""

    def fetch(
        self, texts: Sequence[str], input_type: str, *, stated: Callable[[], str | None]
    ) -> Steps:
        """
        Yields what is to be done, and is sent what came of it.

        `stated` gives the space that vectors must be in, or None while it is not known: then the
        one that was stored last is believed, until an answer shows which it is.
        """
        distinct = tuple(dict.fromkeys(texts))
        certain = stated() or self.settled
        believed = certain or (yield from self._believed())
        kind = (input_type, self.prompts.get(input_type, ""))
        found: dict[str, list[float]] = {}
        if believed is not None:
            found = yield from self._found(believed, kind, distinct)
        missing = tuple(text for text in distinct if text not in found)
        if certain is None and not missing:
            # One text shows that the server is still in the space that is believed.
            missing = (min(distinct, key=len),)
        fresh: dict[str, list[float]] = {}
        usage = Usage(0, 0)
        while missing:
            result = yield from _embed(missing)
            usage += result.usage
            fresh.update(zip(missing, result.vectors.tolist(), strict=True))
            space = self._space(result, stated())
            if space != believed:
                found, believed = {}, space
                yield Keep(self._pointer(), {"vector_space": space})
            missing = tuple(text for text in distinct if text not in found | fresh)
        for text, row in fresh.items():
            yield Keep(self._key(believed or "", kind, text), {"embedding": row})
        every = found | fresh
        return Fetched([every[text] for text in texts], usage)

    def _space(self, result: EmbeddingResult, stated: str | None) -> str:
        told = result.vector_space or stated
        # What little can be seen of a space that nobody tells: its size.
        untold = f"{self.place} {result.vectors.shape[1]}"
        self.settled = None if told else untold
        return told or untold

    def _believed(self) -> Generator[Step, Said, str | None]:
        stored = yield Look(self._pointer())
        space = stored.get("vector_space") if isinstance(stored, dict) else None
        return space if isinstance(space, str) else None

    def _found(
        self, space: str, kind: tuple[str, str], texts: Sequence[str]
    ) -> Generator[Step, Said, dict[str, list[float]]]:
        found = {}
        for text in texts:
            stored = yield Look(self._key(space, kind, text))
            row = stored.get("embedding") if isinstance(stored, dict) else None
            if _is_vector(row):
                found[text] = row
        return found

    def _key(self, space: str, kind: tuple[str, str], text: str) -> str:
        return _digest("vector", space, self.dimensions, *kind, text)

    def _pointer(self) -> str:
        return _digest("space", self.place, self.dimensions)


def _embed(texts: tuple[str, ...]) -> Generator[Step, Said, EmbeddingResult]:
    said = yield Embed(texts)
    assert isinstance(said, EmbeddingResult)
    return said


def _digest(*parts: object) -> str:
    whole = json.dumps([_VERSION, *parts]).encode()
    return f"embedway-{hashlib.sha256(whole).hexdigest()}"


def _is_vector(value: object) -> TypeGuard[list[float]]:
    return isinstance(value, list) and bool(value) and all(type(one) is float for one in value)
