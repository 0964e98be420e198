"""Where texts wait for a call, those of one input type in each lane, and which lane is next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from embedway_gateway.layers.bound import Bounds
from embedway_gateway.layers.flight import Call, Key, Text

__all__ = ["MOST", "Lane", "charge"]

MOST = 256
"""
Texts that are put together for an upstream of which no bound is known: enough to fill a processor
or an accelerator, and whoever is put together with others waits for them all.
"""
# Of one caller, before it is the next one's turn: a request of so few is not torn apart, and one
# of thousands does not keep small ones waiting.
_TURN = 32


class Lane:
    """
    Callers take turns, first come, first served, each with a few texts at a time.

    `share` is the part of the calls' texts that the lane has a right to while the other waits too;
    what it does not use is the other's.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.waiting = 0
        """Texts that wait, and somebody for them."""
        self.running = 0
        """Calls with texts of this lane."""
        self.flying: dict[Key, Text] = {}
        """All that others may join, by what they say."""
        self.alone: dict[Key, Call] = {}
        """And those that a caller carries himself, which are no `Text` until they are joined."""
        self.passed = 0.0
        """What it was given, for its share, since both began to wait."""
        self._first: deque[Text] = deque()
        self._lines: deque[deque[Text]] = deque()

    def let_go(self, known: tuple[Key, ...], call: Call) -> None:
        """A caller carries its texts, none of which is on its way yet."""
        if len(known) == 1:
            self.alone[known[0]] = call
        else:
            self.alone.update(dict.fromkeys(known, call))

    def land(self, known: tuple[Key, ...]) -> None:
        """The caller who carried them is done."""
        if len(self.alone) == len(known):
            self.alone.clear()
        else:
            for key in known:
                del self.alone[key]

    def add(self, texts: Sequence[Text]) -> None:
        """Let texts of one caller wait, of which there is one at least."""
        self._lines.append(deque(texts))
        self.waiting += len(texts)

    def again(self, texts: Sequence[Text]) -> None:
        """Let texts wait in front of all others: their call was given up, not they."""
        for text in texts:
            text.call = None
            self.flying[text.key] = text
        self._first.extendleft(reversed(texts))
        self.waiting += len(texts)

    def ahead_of(self, texts: int) -> int:
        """How many texts go before the last of so many new ones, about."""
        upto = -(-texts // _TURN) * _TURN
        return len(self._first) + sum(min(len(line), upto) for line in self._lines)

    def take(self, bounds: Bounds) -> list[Text]:
        """The texts of the next call: at least one, and at most what it may hold."""
        found = self._gather(bounds)
        fit = bounds.texts_that_fit(tuple([text.value for text in found]))
        self._first.extendleft(reversed(found[fit:]))
        del found[fit:]
        self._count_off(len(found))
        return found

    def _gather(self, bounds: Bounds) -> list[Text]:
        """As many as a call holds, or a few more."""
        most = MOST if bounds.max_inputs is None else bounds.max_inputs
        # A character is a byte or more: what has more of them need not be weighed.
        sizes = [size for size in (bounds.max_bytes, bounds.max_text) if size is not None]
        room = min(sizes, default=None)
        found: list[Text] = []
        for text in self._in_turn(min(_TURN, most)):
            if not text.places:
                continue
            found.append(text)
            if room is not None:
                room -= len(text.value)
            if len(found) == most or (room is not None and room < 0):
                break
        return found

    def _in_turn(self, turn: int) -> Iterator[Text]:
        """Take out one text after the other; it may be left off after any."""
        while self._first:
            yield self._first.popleft()
        while self._lines:
            line = self._lines[0]
            for left in reversed(range(min(turn, len(line)))):
                text = line.popleft()
                if not line:
                    self._lines.popleft()
                elif left == 0:
                    self._lines.rotate(-1)
                yield text

    def leave(self, text: Text) -> None:
        """Nobody wants a text any more that waits: it is left out when its turn comes."""
        self.forget(text)
        self._count_off(1)

    def forget(self, text: Text) -> None:
        """Let nobody join it any more."""
        if self.flying.get(text.key) is text:
            del self.flying[text.key]

    def _count_off(self, texts: int) -> None:
        self.waiting -= texts
        if self.waiting == 0:
            # Those that nobody wants may be left.
            self._first.clear()
            self._lines.clear()


def charge(lane: Lane, other: Lane, texts: int, *, rivals: bool) -> None:
    """A call took texts of the lane; while nobody else waits that costs nothing."""
    if rivals:
        lane.passed += texts / lane.share
    else:
        lane.passed = other.passed = 0.0
