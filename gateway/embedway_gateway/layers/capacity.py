"""How much one upstream takes at once, as far as it was stated, told and seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.speed import Speed

__all__ = ["Capacity", "Load", "Window"]

# Of the time that a call may take: an estimate is a mean, and texts of a size may differ by half.
_SHARE = 0.5
# Of that; calls that are quicker than this tell nothing that a cut would follow from.
_NOTICEABLE = 0.1
_NO_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Load:
    """What one call carries: texts, and bytes of text that the model reads."""

    texts: int
    size: int


class Window:
    """
    How much is sent at once to whom it was too much: halved by a refusal, grown by a sixteenth
    with each success that filled half of it. None before the first refusal.
    """

    def __init__(self) -> None:
        self.most: int | None = None

    def shrink(self, used: int) -> None:
        """Calls that were refused together shrink it once, for each had the same size."""
        half = max(1, used // 2)
        self.most = half if self.most is None else min(self.most, half)

    def grow(self, used: int) -> None:
        """After a success."""
        if self.most is not None and used * 2 > self.most:
            self.most += max(1, self.most // 16)


class Capacity:
    """
    One upstream's bounds. `stated` are those of its configuration, engine and platform; `seconds`
    is what a call may take before the upstream's timeout or its platform ends it.
    """

    def __init__(self, stated: Bounds = _NO_BOUNDS, *, seconds: float = math.inf) -> None:
        self._firm = stated
        self._allowed = seconds * _SHARE
        self._texts = Window()
        self._sizes = Window()
        self._speed = Speed(noticeable=self._allowed * _NOTICEABLE)
        self._refused = 0
        self._bounds: Bounds | None = None

    @property
    def firm(self) -> Bounds:
        """Beyond it the upstream refuses: what was stated, and what it told."""
        return self._firm

    @property
    def bounds(self) -> Bounds:
        """Both; made anew only when something was learnt, because every request asks."""
        if self._bounds is None:
            self._bounds = self._firm.least(self.seen)
        return self._bounds

    @property
    def seen(self) -> Bounds:
        """Beyond it the upstream lately refused, or would be too slow."""
        sizes = self._sizes.most
        cost = self._speed.seconds_per_byte
        if cost:
            in_time = max(1, int(min(self._allowed / cost, 1e15)))
            sizes = in_time if sizes is None else min(sizes, in_time)
        return Bounds(max_inputs=self._texts.most, max_text=sizes)

    def answered(self, load: Load, seconds: float) -> None:
        """Learn from a call that succeeded."""
        self._refused = 0
        self._texts.grow(load.texts)
        self._sizes.grow(load.size)
        self._speed.took(load.size, seconds, texts=load.texts)
        if self._speed.seconds_per_byte or self._texts.most or self._sizes.most:
            self._bounds = None

    def timed_out(self, load: Load, seconds: float) -> bool:
        """Learn from a call without an answer; whether fewer texts might have had one."""
        self._speed.lasted(load.size, seconds)
        self._bounds = None
        return load.texts > 1 and seconds >= self._allowed

    def too_large(self, load: Load, limit: int | None) -> None:
        """Learn from a refusal; `limit` is the most texts, where the upstream told."""
        if load.texts == 1:
            return
        self._bounds = None
        if limit is not None and 0 < limit < load.texts:
            self._firm = self._firm.least(Bounds(max_inputs=limit))
        else:
            self._sizes.shrink(load.size)

    def limited(self, load: Load, *, bandwidth: bool) -> None:
        """
        Learn from a call that was one too many. Of `bandwidth`, fewer bytes help, and a vector's
        are as many as a text's. TEI, from 1.9, has no room for a batch when it has too few free
        places; that is not yet so when it is refused but once.
        """
        self._refused += 1
        if load.texts == 1 or not (bandwidth or self._refused > 1):
            return
        self._bounds = None
        self._texts.shrink(load.texts)
        if bandwidth:
            self._sizes.shrink(load.size)
