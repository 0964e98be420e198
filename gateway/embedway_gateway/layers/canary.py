"""The texts that show whether two upstreams give the same vectors, and the vectors of them."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from embedway_upstream import (
    BadReply,
    BadVector,
    EmbeddingRequest,
    EmbeddingResponse,
    InputTooLong,
    InvalidRequest,
    Service,
    UpstreamDefect,
    UpstreamTimeout,
)
from embedway_upstream.platforms.error import AmbiguousFailure

__all__ = ["CANARIES", "SHORT", "Canaries", "Overdue", "canary_vectors"]

_CODE = "def add(a: int, b: int) -> int:\n    return a + b  # 0x1F, v1.2.3-rc.4"
_SCRIPTS = (
    "Größe, naïve, 東京, Привет, مرحبا – 42 % of €1,299.00 – UPPER\tand\nlower: a.b@example.com"
)
_PROSE = (
    "The old harbour was quiet that morning; two gulls argued over a piece of bread.",
    "Die Lieferung verzögert sich um drei Werktage, weil der Zoll Fragen hat.",
    "Add 250 g of flour, 2 eggs and a pinch of salt, and let the dough rest for an hour.",
    "SELECT name, count(*) FROM visits WHERE day >= '2024-03-01' GROUP BY name;",
    "Les étoiles les plus massives vivent peu de temps et meurent en supernova.",
    "Net revenue rose by 7.4 % to $18.2 million, while costs fell for the third quarter.",
    "El tribunal desestimó el recurso y condenó en costas a la parte demandante.",
    "Patients with a fever above 39.5 degrees should be seen by a doctor the same day.",
    "The violin enters alone in bar 33, answered by the cellos a fifth below.",
    "Reset the router, wait until the green light blinks, then enter the code 8841-22.",
    "O time marcou o gol da vitória nos acréscimos do segundo tempo.",
    "Penguins huddle in winter and take turns at the edge, where the wind is coldest.",
    "for row in rows: total += row['price'] * (1 - row['discount'])",
    "De trein naar Utrecht vertrekt vandaag van spoor 11b, met tien minuten vertraging.",
    "Basalt forms where lava cools quickly; its columns have five or six sides.",
    "Her grandmother taught her to knit, and never once corrected a dropped stitch.",
)
_SHIPS = (f"Line {n} is about {n * 37 % 101} ships and {n * n % 89} stars." for n in range(700))

CANARIES = (
    "hello",
    "What is the capital of France?",
    _CODE,
    f"{_SCRIPTS}; {_PROSE[0]}",
    " ".join(_PROSE[1:7]),
    " ".join(_PROSE[2:]),
    " ".join((*reversed(_PROSE), _SCRIPTS, _CODE)),
    " ".join(_SHIPS),
)
"""
For models that read English of about 3, 9, 37, 64, 140, 300, 420 and 12,000 tokens, so that two
that cut texts at different lengths are seen to. No part of a text is like another part of it.
"""

SHORT = 4
"""So many of them are read whole by every model; the others it may cut, or refuse as too long."""

# Not every engine says of these, or says in known words, that they are too long: some break down,
# and on slow machines they take longer than an upstream's `timeout`.
_REFUSED_IN_ANY_WORDS = len(CANARIES) - 2

Canaries = dict[int, NDArray[np.float32]]
"""The vector of each canary text, by its number; one that was refused, or came late, is absent."""


# The first, which is doubled each time: twice as long as between two comparisons.
_REST = 600.0
_LONGEST_REST = 3600.0


class Overdue:
    """From which text on an upstream has no time for them, and until when it is not asked again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first = len(CANARIES)
        self._rest = 0.0
        self._until = 0.0

    def rests(self, number: int) -> bool:
        """Whether this one is not to be asked for now."""
        return number >= self._first and self._clock() < self._until

    def late(self, number: int) -> None:
        """It was asked for, and took too long; so would those after it, which are longer."""
        self._first = number
        self._rest = min(2 * self._rest or _REST, _LONGEST_REST)
        self._until = self._clock() + self._rest

    def came(self, number: int) -> None:
        """It was embedded, or refused, in time."""
        if number >= self._first:
            self._first, self._rest = len(CANARIES), 0.0


async def canary_vectors(
    service: Service[EmbeddingRequest, EmbeddingResponse],
    model: str,
    overdue: Overdue | None = None,
) -> Canaries:
    """
    The service's vectors of the canary texts, each sent alone.

    Of the last two it may lack what it refused, or had no time for; `overdue` remembers the latter.
    """
    overdue = overdue or Overdue()
    found: Canaries = {}
    for number, text in enumerate(CANARIES):
        if overdue.rests(number):
            break
        try:
            response = await service.send(EmbeddingRequest(model=model, inputs=(text,)))
        except (UpstreamTimeout, AmbiguousFailure):
            if number < _REFUSED_IN_ANY_WORDS:
                raise
            overdue.late(number)
            break
        except (InvalidRequest, UpstreamDefect) as error:
            long = number >= SHORT and isinstance(error, InputTooLong)
            if not long and number < _REFUSED_IN_ANY_WORDS:
                raise
        except BadVector as error:
            # The text is ours, and no caller's; whoever has no vector for it may have none at all.
            raise BadReply(
                f"{error.what} for a text by which vectors are compared",
                upstream=error.upstream,
                detail=error.detail,
            ) from error
        else:
            found[number] = response.vectors[0]
        overdue.came(number)
    return found
