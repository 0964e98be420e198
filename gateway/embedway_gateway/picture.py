"""Draws PNG pictures: cosines, a heat map, latencies, scores. Needs the extra `plot`."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from embedway_gateway.place.error import PlaceError

if TYPE_CHECKING:
    from embedway_gateway.likeness.report import Report

__all__ = ["heat_map", "histogram", "latencies", "scores"]

# `Figure` and not pyplot: no window system is looked for, and nothing is kept in memory.
_ANNOTATED = 25
_LABEL = 32


def histogram(report: Report, path: Path) -> None:
    """The cosine of each text, as 1 - cosine on a logarithmic axis."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    distance = np.maximum(1 - np.asarray(report.values), 1e-9)
    axes.hist(distance, bins=list(np.logspace(-9, np.log10(2), 50)), color="#4269d0")
    limit = 1 - report.threshold
    axes.axvline(limit, color="#d62728", linestyle="--", label=f"threshold {report.threshold:g}")
    axes.set_xscale("log")
    axes.set_xlabel("1 - cosine (left is better)")
    axes.set_ylabel("texts")
    axes.set_title(_plain(f"{report.names[0]} and {report.names[1]}"))
    axes.legend()
    _save(figure, path)


def heat_map(matrix: NDArray[np.float64], labels: Sequence[str], path: Path) -> None:
    """Cosines of each text with each, with the numbers in the cells of a small one."""
    count = len(labels)
    side = min(2.5 + 0.55 * count, 16)
    figure = Figure(figsize=(side + 1.5, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(matrix, cmap="coolwarm", vmin=min(0.0, float(matrix.min())), vmax=1)
    figure.colorbar(image, ax=axes)
    short = [_plain(label) for label in labels]
    if count <= 2 * _ANNOTATED:
        axes.set_xticks(range(count), short, rotation=45, ha="right")
        axes.set_yticks(range(count), short)
    if count <= _ANNOTATED:
        for row in range(count):
            for column in range(count):
                cosine = matrix[row, column]
                tone = "white" if abs(cosine - 0.5) > 0.3 else "black"
                axes.text(column, row, f"{cosine:.2f}", ha="center", va="center", color=tone)
    axes.set_title("Cosine similarity")
    _save(figure, path)


def latencies(milliseconds: Mapping[str, Sequence[float]], path: Path) -> None:
    """The share of requests that were answered within a time, a line an endpoint."""
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    for name, values in milliseconds.items():
        if values:
            ordered = np.sort(np.asarray(values))
            share = np.arange(1, len(ordered) + 1) / len(ordered)
            axes.step(ordered, share, where="post", label=_plain(name))
    axes.set_xscale("log")
    axes.set_xlabel("latency in ms")
    axes.set_ylabel("share of requests")
    axes.set_ylim(0, 1.02)
    axes.grid(visible=True, alpha=0.3)
    if axes.lines:
        axes.legend()
    _save(figure, path)


def scores(found: Mapping[str, Mapping[str, Mapping[str, float]]], path: Path) -> None:
    """
    Bars by endpoint and measure, each with its interval: `mean`, `low` and `high`.

    The axis begins at 0: a difference shall look as large as it is.
    """
    measures = list(next(iter(found.values())))
    figure = Figure(figsize=(max(6, 1.1 * len(measures) + 1.5), 4.2), layout="constrained")
    axes = figure.add_subplot()
    width = 0.8 / len(found)
    for number, (name, values) in enumerate(found.items()):
        means = np.asarray([values[one]["mean"] for one in measures])
        low = np.asarray([values[one]["low"] for one in measures])
        high = np.asarray([values[one]["high"] for one in measures])
        at = np.arange(len(measures)) + width * (number - (len(found) - 1) / 2)
        errors = np.maximum([means - low, high - means], 0)
        axes.bar(at, means, width, yerr=errors, capsize=2, label=_plain(name))
    axes.set_xticks(range(len(measures)), measures)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("mean over queries, with 95 % interval")
    axes.grid(visible=True, axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    figure.legend(loc="outside lower center")
    _save(figure, path)


def _plain(text: str) -> str:
    """Cut, on one line, and without what matplotlib would take for a formula."""
    line = " ".join(text.split())
    cut = line if len(line) <= _LABEL * 2 else f"{line[: _LABEL * 2 - 1]}…"
    return cut.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> None:
    import warnings

    # A glyph that its font lacks becomes a box, and no line on the terminal each.
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        try:
            figure.savefig(path, format="png", dpi=144)
        except OSError as error:
            raise PlaceError(f"{path} cannot be written: {error.strerror or error}") from error
