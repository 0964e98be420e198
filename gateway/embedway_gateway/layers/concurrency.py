"""How many calls an upstream serves at once without letting them wait."""

from __future__ import annotations

import math
from collections.abc import Callable

__all__ = ["Adaptive", "Alone"]

# Calls that may wait at the upstream: fewer, and it may be idle; more only wait (TCP Vegas). Less
# than those wait there that are kept here for a while: see `Linger`.
_ALPHA = 0.4
_BETA = 1.5
# What a call takes alone is known from a few, so that among many calls a share of them seems to
# wait where times vary.
_DOUBT = 0.2
# Calls that are looked at before the limit is changed again.
_ENOUGH = 5
# Calls that ran alone, before it is believed what one takes.
_KNOWN = 8
# How much the latest call counts in the mean.
_NEWEST = 0.2
# How long it is believed, while the upstream is busy, what a call takes alone; in seconds.
_BELIEVED = 60.0
# Where calls are long, one that ran alone is enough after this; and then not for so many times.
_LONG_ENOUGH = 20.0
_RARELY = 20.0
# Slots more than calls that were served at once, from which on the latter is no longer believed.
_FAR = 2
# Before anything is known.
_FIRST = 8.0


class _Size:
    """Calls of about one size: sums, in which older ones count less."""

    __slots__ = ("weight", "x", "xx", "xy", "y")

    def __init__(self) -> None:
        self.weight = self.x = self.y = self.xx = self.xy = 0.0

    def add(self, size: int, seconds: float) -> None:
        kept = 1.0 if self.weight < _KNOWN else 1 - _NEWEST / 2
        self.weight = self.weight * kept + 1
        self.x = self.x * kept + size
        self.y = self.y * kept + seconds
        self.xx = self.xx * kept + size * size
        self.xy = self.xy * kept + size * seconds


class Alone:
    """
    What a call of a size takes when no other runs: a line through those that were seen. Sizes are
    bytes of text, times are seconds.

    Older ones count less, but only beside others of about their size: hours of short calls say
    nothing of what a long one takes.
    """

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}
        self._line: tuple[float, float, float, float] | None = None
        """The mean size, the mean time, the slope and the spread of the sizes, since the latest."""
        self.trusted = False
        """Whether any are enough, because there will not be more."""

    @property
    def known(self) -> bool:
        """Whether enough calls were seen."""
        return bool(self._sizes) and (
            self.trusted or sum(one.weight for one in self._sizes.values()) >= _KNOWN
        )

    def add(self, size: int, seconds: float) -> None:
        """Learn from a call that ran alone."""
        doubling = size.bit_length()
        one = self._sizes.get(doubling)
        if one is None:
            one = self._sizes[doubling] = _Size()
        one.add(size, seconds)
        self._line = None

    def seconds(self, size: int) -> float:
        """For a call of that size; never less than a tenth of the mean."""
        if self._line is None:
            self._line = self._fitted()
        x, y, slope, spread = self._line
        if spread > (0.1 * x) ** 2:
            return max(y + slope * (size - x), y / 10)
        # All were of one size; a larger one may take longer in proportion.
        return y * max(1.0, size / max(1.0, x))

    def _fitted(self) -> tuple[float, float, float, float]:
        seen = self._sizes.values()
        weight = sum(one.weight for one in seen)
        x = sum(one.x for one in seen) / weight
        y = sum(one.y for one in seen) / weight
        spread = sum(one.xx for one in seen) / weight - x * x
        shared = sum(one.xy for one in seen) / weight - x * y
        return x, y, max(0.0, shared / spread) if spread > 0 else 0.0, spread


def _nobody(_limit: int) -> None:
    """Told of every change, where nobody wants to know."""


class Adaptive:
    """
    A limit between 1 and `most` that follows the upstream.

    A call that takes longer than it would alone waited behind others: of `n` calls that run,
    `n · (1 - alone / seconds)` wait. The limit grows while that is less than 0.4 of a call, or a
    fifth of many, and all slots are used. It falls to one more than what is served at once when
    that is more than one and a half, or three tenths of many (TCP Vegas, on means: shortest times
    are far from typical where times vary). A refusal or a timeout halves it.

    To learn what a call takes alone, it is 1 at the start of pressure and, after each minute of it,
    for a few calls; for fewer and more rarely where these take long, so that it is a twentieth of
    the time at most. Until it has learnt, it goes by what it knew before.
    """

    def __init__(self, *, most: int, told: Callable[[int], None] = _nobody) -> None:
        self._most = float(most)
        self._told = told
        self._limit = min(self._most, _FIRST)
        self._alone = Alone()
        self._slowness = 1.0
        self._seen = 0
        self._changed = -math.inf
        self._stale = -math.inf
        """When what is known of a call alone is no longer believed."""
        self._growing = True
        self._served = math.inf
        """Calls that were served at once when it last fell because some waited."""
        self._kept: float | None = None
        """The limit to return to, while it is 1 for learning."""
        self._learnt = Alone()
        """Then: what is known so far."""
        self._since: float | None = None
        """And when the first call began of which something is learnt."""
        told(self.limit)

    @property
    def limit(self) -> int:
        """Calls that may run at once now."""
        return int(self._limit)

    @property
    def queueing(self) -> int:
        """
        In how many of those a call waited for others when that was last seen; 0 where the limit has
        grown far beyond it since, for then the upstream serves more.
        """
        more = self.limit - round(self._served) if self._served < self._limit else 0
        return more if more <= _FAR else 0

    def answered(self, *, begun: float, ended: float, size: int, running: int, alone: bool) -> None:
        """
        Learn from a call of `size` bytes of text that began when, it included, `running` ran;
        `alone`: none began before it ended. Times are on one clock, in seconds.
        """
        seconds = max(ended - begun, 1e-6)
        if self._kept is not None:
            # Those that still ran when it began are waited for.
            if begun >= self._changed:
                self._go_on_learning(begun, ended, size, alone=alone)
            return
        if alone:
            self._alone.add(size, seconds)
        pressed = running >= self.limit
        if pressed and ended > self._stale:
            self._learn(ended)
        elif begun >= self._changed and self._alone.known:
            # What began before the limit changed tells of the former one.
            self._judge(seconds / self._alone.seconds(size), running, ended, pressed=pressed)

    def refused(self, *, begun: float, ended: float) -> None:
        """Learn from a call that was one too many, or had no answer in time."""
        if begun < self._changed:
            return
        self._growing = False
        if self._kept is not None:
            # Refused although it was alone: there is nothing to learn now.
            self._kept = max(1.0, self._kept / 2)
            self._stale = ended + _BELIEVED
            self._set(self._kept)
            self._kept = None
        else:
            self._set(self._limit / 2)
        self._restart(ended)

    def _judge(self, slowness: float, running: int, now: float, *, pressed: bool) -> None:
        self._seen += 1
        self._slowness += (slowness - self._slowness) * max(_NEWEST, 1 / self._seen)
        waiting = running * (1 - 1 / max(1.0, self._slowness))
        doubt = running * _DOUBT
        if waiting > max(_BETA, doubt * 1.5) and self._seen >= _ENOUGH:
            self._growing = False
            self._served = running - waiting
            self._set(max(min(self._served + 1, self._limit), self._limit / 2))
            self._restart(now)
        elif waiting < max(_ALPHA, doubt) and pressed and (self._growing or self._seen >= _ENOUGH):
            # The first calls after a fall still find the upstream with little to do.
            self._set(self._limit + (1.0 if self._growing else 1 / self._limit))

    def _learn(self, now: float) -> None:
        self._learnt, self._since = Alone(), None
        self._kept = self._limit
        self._set(1.0)
        self._restart(now)

    def _go_on_learning(self, begun: float, now: float, size: int, *, alone: bool) -> None:
        if self._since is None:
            self._since = begun
        if alone:
            self._learnt.add(size, max(now - begun, 1e-6))
        self._learnt.trusted = now - self._since > _LONG_ENOUGH
        if not (self._learnt.known or self._learnt.trusted):
            return
        assert self._kept is not None
        if self._learnt.known:
            self._alone = self._learnt
        self._stale = now + max(_BELIEVED, (now - self._changed) * _RARELY)
        self._set(self._kept)
        self._kept = None
        self._restart(now)

    def _set(self, limit: float) -> None:
        before = self.limit
        self._limit = min(self._most, max(1.0, limit))
        if self.limit != before:
            self._told(self.limit)

    def _restart(self, now: float) -> None:
        self._changed, self._slowness, self._seen = now, 1.0, 0
