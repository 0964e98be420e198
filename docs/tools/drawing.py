"""A drawing of boxes, arrows and words, as an SVG that reads on light and on dark ground."""

from __future__ import annotations

import html
from dataclasses import dataclass, field

__all__ = ["Box", "Drawing", "Overflow"]

# A letter's width as a share of its size: the mean of common system fonts, on the wide side.
_WIDE = 0.55
_SIZE = 13
_SMALL = 11

_LIGHT = (
    "--paper:#fff;--ink:#1b2430;--soft:#57606a;--line:#8b96a3;--box:#f2f5f9;--blue:#dbe7ff;"
    "--green:#d9f2e1;--amber:#ffeccc;--red:#ffdcd9"
)
_DARK = (
    "--paper:#161b22;--ink:#e8edf3;--soft:#a9b4c0;--line:#77828e;--box:#232b35;--blue:#1f3a66;"
    "--green:#1d4a31;--amber:#5a4415;--red:#5c2624"
)
_STYLE = (
    f".diagram{{{_LIGHT}}}@media(prefers-color-scheme:dark){{.diagram{{{_DARK}}}}}"
    ".diagram text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;"
    "fill:var(--ink);stroke:none}"
    ".diagram .soft{fill:var(--soft)}.diagram .strong{font-weight:600}"
    ".diagram .arrow{stroke:var(--line);stroke-width:1.5;fill:none}"
    ".diagram .frame{fill:none;stroke:var(--line);stroke-dasharray:5 4}"
)
# What a page's own palette says wins over the system's.
SITE = (
    f"[data-md-color-scheme=default] .diagram{{{_LIGHT}}}\n"
    f"[data-md-color-scheme=slate] .diagram{{{_DARK}}}\n"
    ".diagram{width:100%;height:auto}\n"
)


class Overflow(Exception):
    """Words do not fit their box."""


@dataclass(frozen=True)
class Box:
    """A rectangle, by its upper left corner."""

    x: float
    y: float
    w: float
    h: float

    @property
    def middle(self) -> tuple[float, float]:
        return self.x + self.w / 2, self.y + self.h / 2

    @property
    def left(self) -> tuple[float, float]:
        return self.x, self.y + self.h / 2

    @property
    def right(self) -> tuple[float, float]:
        return self.x + self.w, self.y + self.h / 2

    @property
    def top(self) -> tuple[float, float]:
        return self.x + self.w / 2, self.y

    @property
    def bottom(self) -> tuple[float, float]:
        return self.x + self.w / 2, self.y + self.h


@dataclass
class Drawing:
    """What was drawn so far, back to front."""

    name: str
    title: str
    width: int
    height: int
    parts: list[str] = field(default_factory=list)

    def box(self, place: Box, title: str, *lines: str, fill: str = "box") -> Box:
        """A title, and smaller lines below it; `Overflow` when they do not fit."""
        self.parts.append(
            f'<rect x="{place.x:g}" y="{place.y:g}" width="{place.w:g}" height="{place.h:g}" '
            f'rx="7" fill="var(--{fill})" stroke="var(--line)"/>'
        )
        self._fits(place.w - 12, title, _SIZE, 1.04)
        tall = 17 * bool(title) + 15 * len(lines)
        if tall > place.h - 6:
            raise Overflow(f"{self.name}: {title} has too many lines")
        x, y = place.middle[0], place.middle[1] - tall / 2 + 13
        if title:
            self.text(x, y, title, anchor="middle", kind="strong")
        for number, line in enumerate(lines):
            self._fits(place.w - 8, line, _SMALL)
            below = y + 16 + 15 * number if title else y - 1 + 15 * number
            self.text(x, below, line, anchor="middle", kind="soft", size=_SMALL)
        return place

    def frame(self, place: Box, title: str) -> Box:
        """A dashed rectangle with a word at its upper edge."""
        self.parts.append(
            f'<rect class="frame" x="{place.x:g}" y="{place.y:g}" width="{place.w:g}" '
            f'height="{place.h:g}" rx="9"/>'
        )
        self._fits(place.w - 16, title, _SMALL)
        self.text(place.x + 10, place.y + 16, title, kind="soft", size=_SMALL)
        return place

    def arrow(self, *points: tuple[float, float], dashed: bool = False) -> None:
        """Along the points, with its head at the last."""
        path = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        dash = ' stroke-dasharray="4 4"' if dashed else ""
        self.parts.append(
            f'<path class="arrow" d="{path}" marker-end="url(#{self.name}-head)"{dash}/>'
        )

    def text(
        self,
        x: float,
        y: float,
        words: str,
        *,
        anchor: str = "start",
        kind: str = "",
        size: int = _SIZE,
    ) -> None:
        """One line; `y` is its base."""
        wide = len(words) * size * _WIDE
        start = {"start": x, "middle": x - wide / 2, "end": x - wide}[anchor]
        if start < 0 or start + wide > self.width or not 0 < y < self.height:
            raise Overflow(f"{self.name}: {words!r} leaves the picture")
        self.parts.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}"'
            f"{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{html.escape(words)}</text>"
        )

    def _fits(self, room: float, words: str, size: int, factor: float = 1.0) -> None:
        if len(words) * size * _WIDE * factor > room:
            raise Overflow(f"{self.name}: {words!r} is wider than its box")

    def svg(self) -> str:
        """The whole file."""
        head = (
            f'<svg class="diagram" xmlns="http://www.w3.org/2000/svg" role="img" '
            f'viewBox="0 0 {self.width} {self.height}" width="{self.width}">'
        )
        marker = (
            f'<defs><marker id="{self.name}-head" viewBox="0 0 8 8" refX="7" refY="4" '
            'markerWidth="7" markerHeight="7" orient="auto-start-reverse">'
            '<path d="M0 0L8 4L0 8z" fill="var(--line)"/></marker></defs>'
        )
        ground = f'<rect width="{self.width}" height="{self.height}" rx="10" fill="var(--paper)"/>'
        title = f"<title>{html.escape(self.title)}</title>"
        lines = [head, title, f"<style>{_STYLE}</style>", marker, ground, *self.parts, "</svg>"]
        return "\n".join([*lines, ""])
