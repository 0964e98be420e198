"""How far a model in one precision agrees with itself in fp32: measured once, kept, and held to."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from embedway_local.error import DeviceUnavailable, ModelCorrupt, ModelUnsupported
from embedway_local.file import write_text
from embedway_local.precision import FLOOR, Precision
from embedway_local.retrieval_set import ndcg, shipped_set
from embedway_local.setting import read_settings

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["CALIBRATION", "Agreement", "Measurement", "hold", "measure", "read", "require", "write"]

_log = logging.getLogger("embedway.local")

Embed: TypeAlias = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Unit rows of texts, without any prompt."""

# The set's first passages may have served to calibrate; they are no proof of anything.
CALIBRATION = 40
# Embedded again at every start: 0.01 s with all-MiniLM-L6-v2.
_PROBES = 4
# Rounding between kernels stays above; products that saturate, on a processor for which a graph was
# not made, came to 0.989 (a Haswell, emulated).
_SAME = 0.999
# Raise it when the set or the way of measuring changes.
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of vectors with those in fp32, on the shipped retrieval set."""

    texts: int
    """How many were compared."""
    mean: float
    """Mean cosine of a text's two vectors."""
    worst: float
    """The least of them."""
    spearman: float
    """Rank correlation of the cosines of all pairs of texts."""
    ndcg: float
    """nDCG@10, and in fp32."""
    ndcg_fp32: float


@dataclass(frozen=True, slots=True)
class Measurement:
    """An agreement, and the vectors of a few texts that it is of; each start is held to them."""

    agreement: Agreement
    probes: NDArray[np.float32]


def measure(exact: Embed, candidate: Embed) -> Measurement:
    """Embed the shipped set both ways and compare."""
    found = shipped_set()
    corpus, queries = list(found.corpus.values()), list(found.queries.values())
    ones = [exact(texts) for texts in (corpus, queries)]
    others = [candidate(texts) for texts in (corpus, queries)]
    one = np.concatenate([ones[0][CALIBRATION:], ones[1]])
    other = np.concatenate([others[0][CALIBRATION:], others[1]])
    cosines = _cosines(one, other)
    above = np.triu_indices(len(one), 1)
    agreement = Agreement(
        texts=len(one),
        mean=float(cosines.mean()),
        worst=float(cosines.min()),
        spearman=_spearman((one @ one.T)[above], (other @ other.T)[above]),
        ndcg=ndcg(found, others[1], others[0]),
        ndcg_fp32=ndcg(found, ones[1], ones[0]),
    )
    return Measurement(agreement, others[1][:_PROBES])


def hold(measured: Measurement, candidate: Embed, path: Path) -> None:
    """
    Check that this machine computes what was measured and kept at `path`, by a few texts.

    Raises `DeviceUnavailable`: it may have been measured on another processor.
    """
    texts = list(shipped_set().queries.values())[: len(measured.probes)]
    worst = float(_cosines(candidate(texts), measured.probes).min())
    if not worst >= _SAME:
        raise DeviceUnavailable(
            f"this machine computes other vectors than were measured: cosine {worst:.4f}, at "
            f"least {_SAME} is needed",
            f'delete {path}, and they are measured again, or use precision="fp32"',
        )


def require(agreement: Agreement, precision: Precision, model: str) -> None:
    """Raise `ModelUnsupported` for a model that loses too much."""
    if not agreement.worst >= FLOOR[precision]:
        raise ModelUnsupported(
            f"{model} loses too much in {precision}: on the shipped texts the worst cosine with "
            f"fp32 is {agreement.worst:.4f} (mean {agreement.mean:.4f}), at least "
            f'{FLOOR[precision]} is needed; use precision="fp32"'
        )


def write(path: Path, measured: Measurement) -> None:
    """Keep a measurement; a store that is only readable goes without."""
    probes = base64.b64encode(measured.probes.astype("<f4").tobytes()).decode("ascii")
    facts = {"version": _VERSION, **asdict(measured.agreement), "probes": probes}
    with suppress(OSError):
        write_text(path, json.dumps(facts, indent=2) + "\n")


def read(path: Path) -> Measurement | None:
    """What was kept; None when there is nothing, or nothing that can be trusted."""
    try:
        facts = read_settings(path)
        if not facts.values or facts.number("version") != _VERSION:
            return None
        numbers = {
            name: _number(facts.values.get(name))
            for name in ("mean", "worst", "spearman", "ndcg", "ndcg_fp32")
        }
        agreement = Agreement(texts=facts.number("texts"), **numbers)
        probes = _probes(facts.text("probes"))
    except (ModelCorrupt, ValueError) as error:
        _log.warning("%s is damaged and made again: %s", path, error)
        return None
    return Measurement(agreement, probes)


def _probes(text: str) -> NDArray[np.float32]:
    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4")
    probes = values.reshape(_PROBES, -1).astype(np.float32)
    if not probes.size or not np.allclose(np.linalg.norm(probes, axis=1), 1, atol=1e-3):
        raise ValueError("the probes are not of unit length")
    return probes


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= 1.001:
        raise ValueError(f"{value!r} is no agreement")
    return float(value)


def _cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    # NaN stays NaN, and is below every floor.
    product: NDArray[np.float32] = np.einsum("nd,nd->n", one, other)
    return product


def _spearman(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    first, second = (np.argsort(np.argsort(values, kind="stable")) for values in (one, other))
    return float(np.corrcoef(first, second)[0, 1])
