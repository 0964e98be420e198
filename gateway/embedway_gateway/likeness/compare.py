"""Compares two endpoints over texts, and says what it means."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from embedway_gateway.layers.agreement import least_ratio
from embedway_gateway.layers.canary import CANARIES, SHORT
from embedway_gateway.likeness.cause import pooling_cause, prompt_cause
from embedway_gateway.likeness.measure import cosines, lengths, neighbours
from embedway_gateway.likeness.report import Report, spread_of
from embedway_gateway.place.place import Place
from embedway_gateway.place.rows import Rows, embed_rows

__all__ = ["compare"]

# What dynamic quantisation to eight bits leaves; another pooling or prompt leaves less.
_QUANTISED = 0.97

Vectors = NDArray[np.float32]
Pair = tuple[Rows, Rows]


@dataclass(frozen=True, slots=True)
class Probes:
    """Beside the user's own texts, whatever those are: they tell one cause from another."""

    texts: Sequence[str]
    rows: Pair
    short: int
    """So many of them, the first, are short."""


async def compare(
    places: tuple[Place, Place],
    texts: Sequence[str],
    *,
    threshold: float,
    advance: Callable[[int], None] = lambda _count: None,
) -> Report:
    """Raises the `EmbeddingError` of an endpoint that does not answer."""
    pair = (
        await embed_rows(places[0], texts, advance=advance),
        await embed_rows(places[1], texts, advance=advance),
    )
    if any(place.stored is not None for place in places):
        probes = _of_these(texts, pair)
    elif tuple(texts) == CANARIES:
        probes = Probes(CANARIES, pair, SHORT)
    else:
        rows = (await embed_rows(places[0], CANARIES), await embed_rows(places[1], CANARIES))
        probes = Probes(CANARIES, rows, SHORT)
    report = _measured(places, pair, texts, threshold)
    if report.verdict == "unclear":
        return report
    causes, notes = await _causes(places, texts, pair, probes, report)
    return _with(report, causes, notes)


def _of_these(texts: Sequence[str], pair: Pair) -> Probes:
    """The shortest and the longest of the texts, where no others can be embedded."""
    there = np.flatnonzero(pair[0].present & pair[1].present)
    order = sorted(map(int, there), key=lambda index: len(texts[index]))
    short = min(SHORT, len(order))
    chosen = order[:short] + order[short:][-(len(CANARIES) - SHORT) :]
    rows = (Rows(pair[0].vectors[chosen]), Rows(pair[1].vectors[chosen]))
    return Probes([texts[index] for index in chosen], rows, short)


def _measured(
    places: tuple[Place, Place], pair: Pair, texts: Sequence[str], threshold: float
) -> Report:
    present = pair[0].present & pair[1].present
    left, right = (rows.vectors[present] for rows in pair)
    blank = Report(
        verdict="unclear",
        words="no text was embedded by both: nothing can be compared",
        names=(places[0].label, places[1].label),
        models=(places[0].model, places[1].model),
        dimensions=(left.shape[1], right.shape[1]),
        texts=len(texts),
        refused=(int((~pair[0].present).sum()), int((~pair[1].present).sum())),
        threshold=threshold,
    )
    if not present.any():
        return blank
    different = len({texts[int(place)] for place in np.flatnonzero(present)})
    for place, vectors in zip(places, (left, right), strict=True):
        if different > 1 and np.allclose(vectors, vectors[0], atol=1e-6):
            words = (
                f"{place.label} has the same vector for every text"
                if place.stored is not None
                else f"{place.label} gives every text the same vector: it does not embed; restart "
                "it and look at its log"
            )
            return replace(blank, words=words)
    long = (lengths(left), lengths(right))
    if left.shape != right.shape:
        words = f"not the same space: vectors of {left.shape[1]} and of {right.shape[1]} numbers"
        return replace(blank, verdict="different", words=words, lengths=long)
    return _judged(replace(blank, lengths=long), left, right, np.flatnonzero(present))


def _judged(blank: Report, left: Vectors, right: Vectors, places: NDArray[np.intp]) -> Report:
    found = cosines(left, right)
    spread = spread_of(list(found), [int(place) for place in places])
    near = neighbours(left, right)
    same = spread.worst >= blank.threshold
    alike = _same_length(left, right, least_ratio(blank.threshold))
    least = f"at least {blank.threshold:g} is asked for"
    if same and alike:
        words = (
            f"the same vector space: the smallest cosine of {spread.count} texts is "
            f"{spread.worst:.6f}, {least}"
        )
    elif same:
        words = "the same directions, but not the same lengths: a dot product would not agree"
    else:
        words = f"not the same space: the smallest cosine is {spread.worst:.6f}, {least}"
    return replace(
        blank,
        verdict="same" if same and alike else "different",
        words=words,
        cosine=spread,
        neighbours=near and near[0],
        overlap=near and near[1],
        values=tuple(map(float, found)),
    )


def _same_length(one: Vectors, other: Vectors, least: float) -> bool:
    left, right = (np.linalg.norm(rows, axis=1) for rows in (one, other))
    return bool((np.minimum(left, right) >= least * np.maximum(left, right)).all())


async def _causes(
    places: tuple[Place, Place], texts: Sequence[str], pair: Pair, probes: Probes, report: Report
) -> tuple[list[str], list[str]]:
    few = probes.texts[: probes.short]
    short = (probes.rows[0].vectors[: probes.short], probes.rows[1].vectors[: probes.short])
    causes, notes = [], _refusals(places, report)
    causes += _normalisation(report)
    if report.dimensions[0] != report.dimensions[1]:
        return [*causes, _dimensions(places, short, report.threshold)], notes
    if report.verdict == "same":
        if _short_agree(probes, report.threshold) and not _long_agree(probes, report.threshold):
            notes.append(
                "these texts agree, but longer ones would not: the two cut texts at different "
                "lengths; set the same max_tokens where longer texts may come"
            )
        return causes, notes
    assert report.cosine is not None
    if report.cosine.worst >= report.threshold:
        return causes, notes
    if _short_agree(probes, report.threshold):
        return [*causes, _cut(texts, pair, report.threshold)], notes
    cause = await prompt_cause(places, few, short) or await pooling_cause(places, few, short)
    return [*causes, cause or _elsewise(report)], notes


def _refusals(places: tuple[Place, Place], report: Report) -> list[str]:
    return [
        f"{place.label} {'refuses' if place.stored is None else 'has no vector of'} {count} of "
        f"{report.texts} texts{' as too long' if place.stored is None else ''}; they are not "
        "compared"
        for place, count in zip(places, report.refused, strict=True)
        if count
    ]


def _normalisation(report: Report) -> list[str]:
    assert report.lengths is not None
    one, other = report.lengths
    if one.is_unit == other.is_unit:
        return []
    place = 1 if one.is_unit else 0
    long = report.lengths[place]
    said = (
        f"the normalisation is missing at {report.names[place]}: its vectors have lengths from "
        f"{long.least:.3g} to {long.most:.3g}, the other's have length 1; normalise there "
        "(TEI's and OVMS's `normalize`), or use only cosines"
    )
    return [said]


def _dimensions(
    places: tuple[Place, Place], short: tuple[Vectors, Vectors], threshold: float
) -> str:
    size = min(one.shape[1] for one in short)
    place = 0 if short[0].shape[1] == size else 1
    worst = cosines(short[0][:, :size], short[1][:, :size]).min() if size else 0.0
    if worst >= threshold:
        return (
            f"the dimensions are cut: {places[place].label} gives the first {size} numbers of "
            f"what {places[1 - place].label} gives; ask both for the same (dimensions={size})"
        )
    return "two models, or two sizes of one: see that both serve the model that you mean"


def _agree(probes: Probes, threshold: float, part: slice) -> bool:
    there = (probes.rows[0].present & probes.rows[1].present)[part]
    left, right = (rows.vectors[part][there] for rows in probes.rows)
    return not len(left) or bool(cosines(left, right).min() >= threshold)


def _short_agree(probes: Probes, threshold: float) -> bool:
    return _agree(probes, threshold, slice(0, probes.short))


def _long_agree(probes: Probes, threshold: float) -> bool:
    return _agree(probes, threshold, slice(probes.short, None))


def _cut(texts: Sequence[str], pair: Pair, threshold: float) -> str:
    places = np.flatnonzero(pair[0].present & pair[1].present)
    found = cosines(pair[0].vectors[places], pair[1].vectors[places])
    words = np.array([len(texts[int(place)].split()) for place in places])
    fine, off = words[found >= threshold], words[found < threshold]
    if len(fine) and fine.max() > off.min():
        # Not length alone decides: something about those texts does.
        return (
            f"short test texts agree, but {len(off)} of these {len(found)} texts do not: the two "
            "cut texts at different lengths, or read these texts differently (tokenizer, lower "
            "case, special characters); look at the worst one"
        )
    upto = f"those of up to {fine.max()} words agree, " if len(fine) else ""
    return (
        f"the truncation differs: {upto}those from {off.min()} words on do not: the two cut texts "
        "at different lengths; set the same limit (`max_tokens`) on both"
    )


def _elsewise(report: Report) -> str:
    assert report.cosine is not None
    if report.cosine.worst >= _QUANTISED:
        return (
            "the number format may differ (int8 or bf16 weights give such cosines), or the "
            "revision of the weights; a re-indexing is safer than a lower --threshold"
        )
    return (
        "another model or revision, or a pooling or prompt that could not be found out here: "
        "compare each with local:MODEL, which knows what the model's own files say"
    )


def _with(report: Report, causes: list[str], notes: list[str]) -> Report:
    return replace(report, causes=tuple(causes), notes=tuple(notes))
