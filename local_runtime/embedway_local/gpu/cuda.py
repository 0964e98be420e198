"""Runs a model on a CUDA card in the fastest of the ways that give the right vectors there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embedway_local.error import DeviceUnavailable, LocalError
from embedway_local.gpu.bound import Bound
from embedway_local.gpu.captured import LENGTHS, Captured
from embedway_local.gpu.fault import ROOM, failed, is_full
from embedway_local.gpu.feed import feed_of
from embedway_local.gpu.memory import pinned
from embedway_local.gpu.start import CUDA, Start, cuda_options, memory_limit
from embedway_local.gpu.trial import CardPrecision, hold
from embedway_local.gpu.turn import CAPTURES, Shared, Turns
from embedway_local.gpu.use import CardUse
from embedway_local.row import counted_from, require_numbers
from embedway_local.session import Session

if TYPE_CHECKING:
    import onnxruntime
    from numpy.typing import NDArray

    from embedway_local.gpu.compute import Compute
    from embedway_local.pooling import Pooling

__all__ = ["TRIED", "CudaCard", "Plan", "on_card"]

_log = logging.getLogger("embedway.local")

# Where nobody says what to try with. Ids that every vocabulary has, of lengths on both sides of
# a captured one and of a kernel's blocks.
_TRIAL: Sequence[Sequence[int]] = ((1,), (2, 3), tuple(range(1, 18)), tuple(range(3, 15)))
# The processor computes them too, with one thread: 0.2 s for a model of 6 layers.
TRIED = 256


# In half precision also these, where they are longer: ONNX Runtime takes other kernels from 385 and
# from 513 tokens on. They are held against the plain graph on the card, so that this is cheap.
_HALF = (320, 448, 640)


class FusedGraph(Protocol):
    """Makes the fused graph of the model that is loaded; raises `LocalError` where it has none."""

    def __call__(self, *, packed: bool, half: bool) -> Path: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How a model is to be run on cards."""

    precision: CardPrecision = "fp32"
    use: CardUse = field(default_factory=CardUse)
    fused: FusedGraph | None = None
    trial: Sequence[Sequence[int]] = _TRIAL
    """Token ids of the texts on which every way must give the right vectors."""
    pooling: Pooling = "mean"
    """How the fused graph pools."""
    heads: int = 12
    """Heads of attention."""
    longest: int = 128
    """Tokens of the model's longest text."""
    rows: int | None = None
    """Tokens in the model's table; None where nobody knows."""
    engines: Path | None = None
    """Where TensorRT keeps what it built."""

    def texts(self, most: int) -> list[Sequence[int]]:
        """The texts of the trial, cut at `most` tokens and where the model cuts."""
        most = min(most, self.longest)
        found = [ids[:most] for ids in self.trial]
        if self.rows is None:
            return found
        # Of the others every device makes an error; the processor serves the rest, and so do we.
        held = [ids for ids in found if max(ids, default=0) < self.rows]
        return held or [[0]]


@dataclass(frozen=True, slots=True)
class CudaCard:
    """One card: a way for batches, and perhaps another one for short queries."""

    batches: Compute
    queries: Captured | None
    precision: CardPrecision
    form: str
    """In words, for the log."""
    turns: Turns = field(default_factory=Turns)
    """Calls share the card's memory; one that found too little has it to itself."""

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return self.batches.dimensions

    def run(self, ids: Sequence[Sequence[int]], /) -> NDArray[np.float32]:
        """
        One vector for each list of token ids.

        Where memory runs out they are computed again in halves, while no other call is under way.
        Raises `LocalError` when the card fails, or makes of a text what is no number.
        """
        try:
            with self.turns.shared():
                return self._run(ids)
        except LocalError as error:
            if not is_full(error):
                raise
        _log.info("a card ran out of memory on %d texts: again in halves, alone", len(ids))
        with self.turns.alone():
            return self._halves(ids)

    def _halves(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        middle = len(ids) // 2
        found = [self._fitted(ids[:middle])] if middle else []
        with counted_from(middle):
            found.append(self._fitted(ids[middle:]))
        return np.concatenate(found)

    def _fitted(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        try:
            return self._run(ids)
        except LocalError as error:
            if not is_full(error):
                raise
            if len(ids) == 1:
                raise LocalError(
                    f"the card has no memory for a text of {len(ids[0])} tokens ({error}); "
                    f"lower max_tokens=, or {ROOM}"
                ) from error
        return self._halves(ids)

    def _run(self, ids: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        queries = self.queries
        ours = queries if queries is not None and queries.takes(ids) else self.batches
        vectors = ours.run(ids)
        cure = '; use precision="fp32"' if self.precision == "fp16" else ""
        require_numbers(vectors, f"the card made vectors that are no numbers{cure}")
        return vectors


def on_card(
    path: Path, start: Start, card: int, *, plan: Plan, trusted: Compute, pad: int
) -> CudaCard:
    """
    Load the plain graph at `path`, and what is faster on this card and gives the same vectors.

    `trusted` is the plain graph on the processor. All that fails or differs is left out, with a
    line in the log. Raises `DeviceUnavailable` when the plain graph does not work, or none in the
    plan's precision.
    """
    one = _One(start, card, plan, pad)
    plain = one.plain(path, trusted)
    if plan.precision == "fp16":
        for form in ("packed", "padded"):
            make = partial(one.fused, form, half=True)
            half = one.tried(f"fp16, {form}", make, plain, "fp16", one.half_texts())
            if half is not None:
                queries = one.captured(plain, half=True)
                return CudaCard(half, queries, "fp16", f"fp16, {form}")
        # Single precision would work, but would be another vector space than was asked for.
        raise DeviceUnavailable(
            "neither of the graphs in fp16 works on this card with this model; the log says why",
            'use precision="fp32"',
        )
    return CudaCard(plain, one.captured(plain, half=False), "fp32", "fp32")


@dataclass(frozen=True, slots=True)
class _One:
    """Makes the ways to run on one card."""

    start: Start
    card: int
    plan: Plan
    pad: int

    def plain(self, path: Path, trusted: Compute) -> Compute:
        """The plain graph in single precision, held against the processor."""
        session = self.start.session(path, CUDA, self._options())
        bound = self.tried("buffers that stay", partial(self._bound, session), trusted, "fp32")
        if bound is not None:
            return bound
        plain = Shared(Session(session, pad=self.pad, rows=self.plan.rows))
        try:
            hold(plain, trusted, self.texts(), "fp32")
        except LocalError as error:
            raise failed("the card", error) from error
        return plain

    def texts(self, longest: int | None = None) -> list[Sequence[int]]:
        """What to try with, cut where the model's own texts are."""
        return self.plan.texts(longest or TRIED)

    def half_texts(self) -> list[Sequence[int]]:
        """What to try half precision with: also lengths that reach its kernels for long texts."""
        longest = max(self.plan.texts(_HALF[-1]), key=len)
        lengths = sorted({min(length, len(longest)) for length in _HALF})
        return self.texts() + [longest[:length] for length in lengths if length > TRIED]

    def fused(self, form: str, *, half: bool) -> Compute:
        """The fused graph."""
        make = self.plan.fused
        if make is None:
            raise LocalError("there is no fused graph of this model")
        path = make(packed=form == "packed", half=half)
        return self._bound(self.start.session(path, CUDA, self._options()))

    def captured(self, plain: Compute, *, half: bool) -> Captured | None:
        """The way for short queries; None where it is switched off or does not work."""
        make = self.plan.fused
        if not self.plan.use.capture or make is None or self.plan.longest < LENGTHS[0]:
            return None
        if self.plan.pooling == "last":
            # Its GatherND copies indices from memory of the host that lives as long as the call:
            # a replay would copy whatever is there by then.
            _log.info(
                "card %d does without captured queries: they cannot pool by the last token",
                self.card,
            )
            return None

        def capture() -> Captured:
            path = make(packed=False, half=half)
            session = self.start.session(path, CUDA, self._options(capture=True))
            return Captured(
                session,
                pad=self.pad,
                rows=self.plan.rows,
                longest=self.plan.longest,
                card=self.card,
                allocate=partial(pinned, card=self.card),
            )

        precision: CardPrecision = "fp16" if half else "fp32"
        most = max(length for length in LENGTHS if length <= self.plan.longest)
        for name in ("captured queries", "captured queries, tried again"):
            made = self.tried(name, capture, plain, precision, self.texts(most))
            if made is not None:
                assert isinstance(made, Captured)
                return made
        return None

    def tried(
        self,
        name: str,
        make: Callable[[], Compute],
        trusted: Compute,
        precision: CardPrecision,
        texts: Sequence[Sequence[int]] | None = None,
    ) -> Compute | None:
        """What `make` makes, when it gives the vectors of `trusted`; else None, and a line."""
        try:
            made = make()
            hold(made, trusted, self.texts() if texts is None else texts, precision)
        except LocalError as error:
            _log.info("card %d does without %s: %s", self.card, name, error)
            return None
        return made

    def _bound(self, session: onnxruntime.InferenceSession) -> Compute:
        feed = feed_of(session, pad=self.pad, rows=self.plan.rows)
        # Its first memory on the host is allocated here.
        with CAPTURES.shared():
            return Bound(session, feed, card=self.card, allocate=partial(pinned, card=self.card))

    def _options(self, *, capture: bool = False) -> dict[str, str]:
        limit = memory_limit(self.start.driver, self.card, self.plan.use.memory)
        return cuda_options(self.card, limit, capture=capture)
