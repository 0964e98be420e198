"""What each version of OpenVINO Model Server can do right, and what is refused therefore."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedway_deploy.error import Refused

if TYPE_CHECKING:
    from embedway_local import Pooling

__all__ = ["Version", "version_of"]

_NAMES = {"cls": "CLS", "mean": "MEAN", "last": "LAST"}


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """Year and number of a release, as 2025.4."""

    year: int
    number: int

    def __str__(self) -> str:
        return f"{self.year}.{self.number}"

    @property
    def flat(self) -> bool:
        """Whether graph, tokenizer and model lie in one folder."""
        return self >= Version(2025, 2)

    @property
    def cuts(self) -> bool:
        """Whether the graph has the field `truncate`."""
        return self >= Version(2025, 3)

    def pooling(self, wanted: Pooling) -> str:
        """
        The field's value, empty where the version has none. Raises `Refused` where the server would
        pool otherwise: every vector would be wrong, and nothing would say so.
        """
        first = {"cls": (2024, 5), "last": (2025, 3), "mean": (2025, 4)}[wanted]
        if self < Version(*first):
            raise Refused(
                [
                    (
                        f"the model pools by {wanted!r}, and server {self} does not: "
                        "it would take the first token's vector, and every vector would be wrong "
                        f"with status 200; {wanted} pooling needs {first[0]}.{first[1]} or newer"
                    )
                ]
            )
        return _NAMES[wanted] if self.cuts else ""


def version_of(image: str) -> Version:
    """From a tag such as `2025.4.1-gpu`. Raises `Refused` where the tag names none."""
    match = re.match(r"v?(20\d\d)\.(\d+)(?!\d)", image.rpartition("/")[2].rpartition(":")[2])
    if match is None:
        raise Refused(
            [
                (
                    f"{image} does not say its version, on which layout and pooling depend; give a "
                    "tag such as :2025.4"
                )
            ]
        )
    found = Version(int(match[1]), int(match[2]))
    if found < Version(2024, 5):
        raise Refused([f"OpenVINO Model Server {found} does not embed; 2024.5 is the first"])
    return found
