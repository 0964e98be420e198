"""Embeds all rows of a source into one file, so that whatever happens, finished work is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import msgspec
import numpy as np

from embedway_gateway.bulk.chunk import Chunk, chunks
from embedway_gateway.bulk.encoder import Encoded, Encoder
from embedway_gateway.bulk.error import BadInput, BadVectors, BulkError, PartsDiffer
from embedway_gateway.bulk.parts import Parts
from embedway_gateway.bulk.probe import Probe
from embedway_gateway.bulk.sink import Sink
from embedway_gateway.bulk.source import Source
from embedway_upstream import BadVector, EmbeddingError, InvalidRequest

__all__ = ["Done", "Job", "Report"]

Report: TypeAlias = Callable[[int, bool], None]
"""Called after each chunk with its rows, and whether this run embedded them, not an earlier one."""


@dataclass(slots=True)
class Done:
    """What a run has done so far."""

    rows: int = 0
    """Rows finished, by this run or an earlier one."""
    resumed: int = 0
    """Those that an earlier run had embedded."""
    tokens: int = 0
    """Tokens that this run read."""


_Waiting: TypeAlias = "dict[Future[Encoded], tuple[Chunk, str]]"


@dataclass(slots=True, kw_only=True)
class Job:
    """
    Source to sink, chunk by chunk.

    `in_flight`: chunks being embedded at once. While one is computed the next ones are read,
    tokenised or under way, so nothing waits for the disk. Each is kept when it is done, so that a
    slow one holds up nobody; the output is in the order of the input.
    """

    source: Source
    sink: Sink
    parts: Parts
    in_flight: int
    done: Done = field(default_factory=Done)
    _made: set[int] = field(default_factory=set, init=False)

    def run(self, encoder: Encoder, report: Report) -> Done:
        """
        Embed what is not finished yet, then merge.

        Whatever is raised, by a row, the encoder or the disk, chunks that were being embedded
        are waited for and kept; not so when the user interrupts, or gave another input.
        """
        input_type = self.parts.manifest.input_type
        pool = ThreadPoolExecutor(self.in_flight, "embedway-bulk")
        waiting: _Waiting = {}
        probe = Probe(self.parts, encoder)
        try:
            for chunk, digest in self._unfinished(report):
                future = pool.submit(encoder.encode, chunk.texts, input_type=input_type)
                waiting[future] = chunk, digest
                if len(waiting) == self.in_flight:
                    self._keep_done(waiting, probe, report)
            while waiting:
                self._keep_done(waiting, probe, report)
        except PartsDiffer:
            # What this run made is of that other input, too: the first one can still be given.
            self.parts.discard(self._made)
            raise
        except Exception:
            self._rescue(waiting, probe, report)
            raise
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        if self.done.rows == 0:
            raise BadInput("the input has no texts; there is nothing to embed")
        self.parts.finish(self._merge)
        return self.done

    def _unfinished(self, report: Report) -> Iterator[tuple[Chunk, str]]:
        seen = alike = 0
        gap = False
        for chunk in chunks(self.source.rows(), self.parts.manifest.batch_size):
            seen += 1
            digest = chunk.digest
            part = self.parts.finished.get(chunk.index)
            if part is not None and part.digest == digest:
                alike += 1
                self.done.resumed += part.rows
                self._count(part.rows, report, fresh=False)
                continue
            if part is not None:
                self._let_go(chunk.index, f"{_span(chunk)} are not those", alike if gap else None)
            gap = True
            yield chunk, digest
        what = f"the input ends after {seen} chunks, before the last"
        self._let_go(seen, what, alike if gap else None)

    def _let_go(self, index: int, what: str, alike: int | None) -> None:
        """
        Discard the parts from `index` on, whose input is another: before them a row was refused,
        and has been removed. Raises `PartsDiffer` where all before them were finished, so that none
        was refused (`alike` is None); or where so much would be lost that it is rather the wrong
        input: more parts than can have been in flight, and than were found `alike`.
        """
        those = [one for one in self.parts.finished if one >= index]
        if those and (alike is None or len(those) > max(alike, self.in_flight)):
            raise self._changed(what)
        self.parts.discard(those)

    def _keep_done(self, waiting: _Waiting, probe: Probe, report: Report) -> None:
        done, _ = wait(waiting, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=lambda future: waiting[future][0].index):
            chunk, digest = waiting.pop(future)
            self._keep(chunk, digest, future, probe, report)

    def _keep(
        self, chunk: Chunk, digest: str, future: Future[Encoded], probe: Probe, report: Report
    ) -> None:
        try:
            encoded = future.result()
        except InvalidRequest as error:
            error.add_note(f"This was said of {_span(chunk)}.")
            raise
        except BadVector as error:
            places = [chunk.rows[row].place for row in error.named]
            error.add_note(f"This was said of {', '.join(places) or _span(chunk)}.")
            raise
        vectors = encoded.vectors
        self._require_like(chunk, encoded, probe)
        self.parts.keep(
            chunk.index,
            len(chunk.rows),
            digest,
            lambda path: self.sink.write(path, chunk.rows, vectors),
        )
        self._made.add(chunk.index)
        self.done.tokens += encoded.usage.prompt_tokens
        self._count(len(chunk.rows), report, fresh=True)

    def _rescue(self, waiting: _Waiting, probe: Probe, report: Report) -> None:
        for future in waiting:
            future.cancel()
        wait(waiting)
        for future, (chunk, digest) in waiting.items():
            if not future.cancelled() and future.exception() is None:
                # The first error is the one to tell; a second, as of a full disk, adds nothing.
                with suppress(BulkError, EmbeddingError):
                    self._keep(chunk, digest, future, probe, report)

    def _require_like(self, chunk: Chunk, encoded: Encoded, probe: Probe) -> None:
        """Vectors of the right number and size, in the space of those that came before."""
        known = self.parts.manifest
        rows, width = encoded.vectors.shape
        if rows != len(chunk.rows) or not np.isfinite(encoded.vectors).all():
            raise BadVectors(f"{len(chunk.rows)} texts were sent; {rows} good vectors did not come")
        space = encoded.vector_space or known.vector_space
        if (known.width or width) != width or (known.vector_space or space) != space:
            raise BadVectors(
                f"the model now answers in another vector space: {width} numbers in {space}, but "
                f"the finished parts have {known.width} in {known.vector_space}; find out what "
                "was changed behind the model's name, or begin anew with --overwrite"
            )
        probe.require_same(encoded.vector_space)
        known = self.parts.manifest
        if (known.width, known.vector_space) != (width, space):
            self.parts.note(msgspec.structs.replace(known, width=width, vector_space=space))

    def _merge(self, paths: list[Path], target: Path) -> None:
        manifest = self.parts.manifest
        about = {"model": manifest.model, "input_type": manifest.input_type}
        if manifest.vector_space is not None:
            about["vector_space"] = manifest.vector_space
        self.sink.merge(paths, target, about)

    def _count(self, rows: int, report: Report, *, fresh: bool) -> None:
        self.done.rows += rows
        report(rows, fresh)

    def _changed(self, what: str) -> PartsDiffer:
        return PartsDiffer(
            f"{self.parts.folder} was made from another input: {what} that were embedded; give "
            "the input it was begun with, or begin anew with --overwrite"
        )


def _span(chunk: Chunk) -> str:
    return f"the rows from {chunk.rows[0].place} to {chunk.rows[-1].place}"
