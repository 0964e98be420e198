"""The texts that show whether two upstreams give the same vectors, and the vectors of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    InputTooLong,
    InvalidRequest,
    Service,
    UpstreamDefect,
)
from embedway_upstream.platforms.error import AmbiguousFailure

__all__ = ["CANARIES", "SHORT", "Canaries", "canary_vectors"]

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

# Not every engine says of these, or says in known words, that they are too long: some break down.
_REFUSED_IN_ANY_WORDS = len(CANARIES) - 2

Canaries = dict[int, NDArray[np.float32]]
"""The vector of each canary text, by its number; a text that was refused as too long is absent."""


async def canary_vectors(
    service: Service[EmbeddingRequest, EmbeddingResponse], model: str
) -> Canaries:
    """The service's vectors of the canary texts, each sent alone."""
    found: Canaries = {}
    for number, text in enumerate(CANARIES):
        try:
            response = await service.send(EmbeddingRequest(model=model, inputs=(text,)))
        except (InvalidRequest, UpstreamDefect, AmbiguousFailure) as error:
            long = number >= SHORT and isinstance(error, InputTooLong)
            if not long and number < _REFUSED_IN_ANY_WORDS:
                raise
        else:
            found[number] = response.vectors[0]
    return found
