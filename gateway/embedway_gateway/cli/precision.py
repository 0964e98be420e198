"""What `embedway models` tells of the precisions that a model was built and measured in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_gateway.precision import Precision

if TYPE_CHECKING:
    from embedway_local import Store

__all__ = ["measured", "measured_in_short", "prepare"]


def measured(model: str, store: Store) -> dict[str, dict[str, float]]:
    """How far each precision that was ever used agrees with fp32; nothing is built for it."""
    from embedway_local import LocalError, measured_agreements

    try:
        found = measured_agreements(model, store.home)
    except (LocalError, OSError):  # damaged or of another kind: to be told by who wants to run it
        return {}
    return {precision: asdict(agreement) for precision, agreement in found.items()}


def measured_in_short(found: object) -> str:
    """For a column of a table: the worst cosine, and how well it ranks."""
    assert isinstance(found, dict)
    return ", ".join(
        f"{name} {item['worst']:.4f} (nDCG {item['ndcg']:.3f}, fp32 {item['ndcg_fp32']:.3f})"
        for name, item in found.items()
    )


def prepare(model: str, home: Path, precision: Precision) -> str:
    """Build and measure a model that is here; returns what came of it, as a sentence."""
    from embedway_local import LocalEmbedder

    with LocalEmbedder(model, precision=precision, home=home) as embedder:
        agreement, space = embedder.agreement, embedder.space.fingerprint
    if agreement is None:
        return f"{model} in {precision}: exact, vector space {space}"
    return (
        f"{model} in {precision}: cosine with fp32 {agreement.mean:.4f} on average and "
        f"{agreement.worst:.4f} at worst, nDCG@10 {agreement.ndcg:.3f} instead of "
        f"{agreement.ndcg_fp32:.3f}, vector space {space}"
    )
