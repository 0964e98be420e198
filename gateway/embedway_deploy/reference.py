"""The local runtime's vectors, which everything that is deployed is held against."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedway_deploy.plan import Plan
    from embedway_local import Pooling

__all__ = ["embed_locally", "unreadable"]


def embed_locally(
    model: str, texts: Sequence[str], *, max_tokens: int | None, pooling: Pooling | None = None
) -> NDArray[np.float32]:
    """Float32 (n, dimensions), without any prompt. Raises a `LocalError`."""
    from embedway_local import LocalEmbedder

    with LocalEmbedder(model, max_tokens=max_tokens, pooling=pooling, prompts={}) as embedder:
        return embedder.embed(list(texts), input_type=None)


def unreadable(plan: Plan) -> Iterator[str]:
    """
    Why the local runtime cannot embed what a plan is compared with: told before anything is
    created, for the comparison comes when all is paid for. A model of the hub that is not on this
    machine is downloaded.
    """
    from embedway_deploy.step import Check, Proof
    from embedway_local import LocalError, Store, embedway_home
    from embedway_local.source.find import find

    steps = [step for step in plan.steps if isinstance(step, Check | Proof)]
    # A plan may state how tokens are pooled, where the model's own files do not.
    models = {step.model: getattr(step, "pooling", None) for step in steps}
    for model, pooling in models.items():
        try:
            find(model, Store(embedway_home()), pooling=pooling)
        except (LocalError, ValueError) as error:
            yield (
                "the model that the deployment is compared with cannot be read on this machine: "
                f"{error}; make the plan again here"
            )
