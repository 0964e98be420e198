"""Embeds the batches of a Ray Data pipeline: a class for `map_batches`, one model an actor."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from embedway_local.catalogue import DEFAULT_MODEL
from embedway_local.error import SpaceDiffers
from embedway_local.precision import PrecisionChoice
from embedway_local.prompt import InputType

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from ray.data import Dataset  # pyright: ignore[reportMissingImports]  # the extra `ray`

    from embedway_local.embedder import LocalEmbedder

__all__ = ["Embed", "embed_dataset", "opened", "room"]


class Embed:
    """
    A callable class for `Dataset.map_batches`: adds a column of vectors to each batch.

        dataset.map_batches(
            Embed,
            fn_constructor_kwargs={"column": "body", "precision": "int8"},
            batch_size=1024,
            num_cpus=4,
            compute=ActorPoolStrategy(size=8),
        )

    Ray makes one in every actor, and that loads the model once. `column` holds the texts and `into`
    will hold the vectors, float32 (n, dimensions); the other columns stay. `cpus`: cores to use, by
    default those that Ray gave the actor. `gpus`: as in `num_gpus`; above 0 the model must run on a
    card. `vector_space`: the fingerprint that the model must have, so that no actor's vectors are
    of another kind than the others'. The other arguments are those of `LocalEmbedder`.

    Raises what `LocalEmbedder` does, and `SpaceDiffers`; the actor, and with it the pipeline, then
    ends with that error.
    """

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        column: str = "text",
        into: str = "embedding",
        input_type: InputType | None = "document",
        precision: PrecisionChoice = "fp32",
        cpus: float | None = None,
        gpus: float = 0,
        vector_space: str | None = None,
    ) -> None:
        self._column = column
        self._into = into
        self._input_type: InputType | None = input_type
        self._embedder = opened(
            model, precision, cpus=_given() if cpus is None else cpus, gpus=gpus
        )
        found = self._embedder.space.fingerprint
        if vector_space not in {None, found}:
            raise SpaceDiffers(
                f"{model} is in the vector space {found} on this machine, not in {vector_space}; "
                "every node must have the same files of the model and the same version of embedway"
            )

    def __call__(self, batch: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """The batch with its vectors; raises `KeyError` without the column of texts."""
        if self._column not in batch:
            raise KeyError(f"no column {self._column!r}, only {', '.join(batch)}")
        texts = batch[self._column].tolist()
        vectors = self._embedder.embed(texts, input_type=self._input_type)
        return {**batch, self._into: vectors}


def embed_dataset(
    dataset: Dataset,
    model: str = DEFAULT_MODEL,
    *,
    column: str = "text",
    into: str = "embedding",
    input_type: InputType | None = "document",
    precision: PrecisionChoice = "fp32",
    batch_size: int = 1024,
    workers: int | None = None,
    cpus_per_worker: float = 1,
    gpus_per_worker: float = 0,
) -> Dataset:
    """
    The dataset with a column of vectors, computed by `workers` actors when it is consumed.

    `batch_size` texts are in an actor's memory at a time. `workers`: by default as many as the
    cluster has room for. The model is loaded once now, somewhere in the cluster, to learn its
    vector space, and every actor must find the same. Raises what `LocalEmbedder` does.
    """
    import ray  # pyright: ignore[reportMissingImports]
    from ray.data import ActorPoolStrategy  # pyright: ignore[reportMissingImports]

    wanted = {"num_cpus": cpus_per_worker, "num_gpus": gpus_per_worker}
    ask = ray.remote(_fingerprint).options(**wanted)
    told = ask.remote(model, precision, cpus=cpus_per_worker, gpus=gpus_per_worker)
    try:
        space = ray.get(told)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    embedding = {
        "model": model,
        "column": column,
        "into": into,
        "input_type": input_type,
        "precision": precision,
        "cpus": cpus_per_worker,
        "gpus": gpus_per_worker,
        "vector_space": space,
    }
    size = workers or max(1, room(cpus_per_worker, gpus_per_worker))
    return dataset.map_batches(
        Embed,
        fn_constructor_kwargs=embedding,
        batch_size=batch_size,
        compute=ActorPoolStrategy(size=size),
        **wanted,
    )


def room(cpus: float, gpus: float) -> int:
    """How many workers of so many cores and cards the cluster, as it is now, has room for."""
    import ray  # pyright: ignore[reportMissingImports]

    there = ray.cluster_resources()
    wanted = {"CPU": cpus, "GPU": gpus}
    return min(int(there.get(name, 0) / amount) for name, amount in wanted.items() if amount > 0)


def opened(model: str, precision: PrecisionChoice, *, cpus: float, gpus: float) -> LocalEmbedder:
    """A model for an actor that was given so many cores and cards, and no more."""
    threads = max(1, int(cpus))
    # The tokenizer's own threads; they are made when it is first used, and never again.
    os.environ.setdefault("RAYON_NUM_THREADS", str(threads))
    from embedway_local.embedder import LocalEmbedder

    device = "cpu" if gpus == 0 else "cuda" if gpus <= 1 else "cuda:all"
    return LocalEmbedder(model, device=device, precision=precision, threads=threads)


def _fingerprint(model: str, precision: PrecisionChoice, *, cpus: float, gpus: float) -> str:
    with opened(model, precision, cpus=cpus, gpus=gpus) as embedder:
        return embedder.space.fingerprint


def _given() -> float:
    """The cores that Ray reserved for this actor."""
    import ray  # pyright: ignore[reportMissingImports]

    return float(ray.get_runtime_context().get_assigned_resources().get("CPU", 1))
