"""Cuts rows into chunks, the unit of work and of what an interruption can cost."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import msgspec

from embedway_gateway.bulk.row import Cell, Row

__all__ = ["Chunk", "chunks"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows; every chunk but the last has as many."""

    index: int
    rows: Sequence[Row]

    @property
    def texts(self) -> list[str]:
        """What is to be embedded."""
        return [row.text for row in self.rows]

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over all that goes into the output, whatever file it stands in."""
        encode = msgspec.json.Encoder(enc_hook=_plain).encode
        state = hashlib.sha256()
        for row in self.rows:
            state.update(encode([row.id, row.text, row.kept]))
            state.update(b"\n")
        return state.hexdigest()[:32]


def chunks(rows: Iterable[Row], size: int) -> Iterator[Chunk]:
    """The rows, `size` at a time, in order."""
    iterator = iter(rows)
    index = 0
    while block := list(islice(iterator, size)):
        yield Chunk(index, block)
        index += 1


def _plain(value: object) -> object:
    return value.plain() if isinstance(value, Cell) else str(value)
