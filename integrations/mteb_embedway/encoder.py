"""An encoder for MTEB: its present interface, the old `encode(sentences, …)`, and BEIR's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from mteb_embedway.inputs import input_type_of, passages_of, texts_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedway_upstream import InputType

__all__ = ["Embedder", "EmbedwayEncoder"]

_PIECE = 512


class Embedder(Protocol):
    """What gives the vectors; an `embedway_client.Client` does."""

    def embed(
        self, texts: Iterable[str], *, input_type: InputType = "document"
    ) -> NDArray[np.float32]: ...


class _Similarity(Protocol):
    def cos_sim(self, a: object, b: object) -> object: ...
    def pairwise_cos_sim(self, a: object, b: object) -> object: ...


class _Meta(Protocol):
    def create_empty(self, overwrites: Mapping[str, object]) -> object: ...


class EmbedwayEncoder:
    """
    Hand it to `mteb.evaluate`, to the older `mteb.MTEB(…).run`, or to BEIR's exact search.

        mteb.evaluate(EmbedwayEncoder(Client("minilm"), name="minilm"), mteb.get_tasks(["SciFact"]))

    `client`: gives the vectors, and puts prompts before queries and documents as the model wants
    them; MTEB's own prompts are not used. It must bear calls from several threads, and is never
    closed here. `name`, `revision`: what MTEB files the results under; two models that are not the
    same need different ones, or it gives the one's kept results for the other. `symmetric`: what
    texts are embedded as in tasks without queries, such as STS. `concurrency`: calls at once.
    """

    def __init__(
        self,
        client: Embedder,
        *,
        name: str,
        revision: str | None = None,
        symmetric: InputType = "document",
        concurrency: int = 4,
    ) -> None:
        if not name:
            raise ValueError("name is empty; MTEB files the results under it")
        if concurrency < 1:
            raise ValueError(f"concurrency={concurrency}: at least 1 is needed")
        self._client = client
        # Organisation and model, which is the only form that MTEB takes.
        self._name = name if "/" in name else f"embedway/{name}"
        self._revision = revision
        self._symmetric: InputType = symmetric
        self._concurrency = concurrency
        self._dimensions = 0

    @property
    def mteb_model_meta(self) -> object:
        """MTEB's `ModelMeta`: the name, the revision and cosine, and nothing else."""
        module = import_module("mteb.models.model_meta")
        meta = cast("_Meta", module.ModelMeta)
        told: dict[str, object] = {
            "name": self._name,
            "similarity_fn_name": module.ScoringFunction.COSINE,
        }
        if self._revision is not None:
            told["revision"] = self._revision
        return meta.create_empty(overwrites=told)

    def encode(
        self,
        inputs: Iterable[object],
        *,
        task_metadata: object = None,
        hf_split: str | None = None,
        hf_subset: str | None = None,
        prompt_type: object = None,
        prompt_name: str | None = None,
        task_name: str | None = None,
        **options: object,
    ) -> NDArray[np.float32]:
        """
        float32 (n, d), row i of text i. `inputs`: MTEB's batches, or the texts themselves.

        `prompt_type`, else `prompt_name`, says whether they are queries; whatever else MTEB tells
        changes nothing here. An empty text gets a row of zeros, as MTEB does for APIs. Raises
        `TypeError` for what is not text, and what the client raises.
        """
        kind = input_type_of(prompt_type, prompt_name) or self._symmetric
        return self._embed(texts_of(inputs), kind)

    def encode_queries(self, queries: Sequence[str], **options: object) -> NDArray[np.float32]:
        """As BEIR asks, and MTEB did."""
        return self._embed(texts_of(queries), "query")

    def encode_corpus(
        self,
        corpus: Sequence[str | Mapping[str, str]] | Mapping[str, Sequence[str]],
        **options: object,
    ) -> NDArray[np.float32]:
        """As BEIR asks, and MTEB did: passages with `title` and `text`."""
        return self._embed(passages_of(corpus), "document")

    def similarity(self, embeddings1: object, embeddings2: object) -> object:
        """Cosines, each with each: a tensor (n, m)."""
        return self._functions().cos_sim(embeddings1, embeddings2)

    def similarity_pairwise(self, embeddings1: object, embeddings2: object) -> object:
        """Cosines, row by row: a tensor (n,)."""
        return self._functions().pairwise_cos_sim(embeddings1, embeddings2)

    @staticmethod
    def _functions() -> _Similarity:
        return cast("_Similarity", import_module("mteb.similarity_functions"))

    def _embed(self, texts: Sequence[str], kind: InputType) -> NDArray[np.float32]:
        there = [index for index, text in enumerate(texts) if text.strip()]
        whole = [texts[index] for index in there]
        pieces = [whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE)]

        def one(piece: list[str]) -> NDArray[np.float32]:
            return self._client.embed(piece, input_type=kind)

        # A context of its own for each: usage is collected by whoever surrounds this call.
        contexts = [copy_context() for _ in pieces]
        with ThreadPoolExecutor(self._concurrency) as threads:
            parts = list(
                threads.map(lambda context, piece: context.run(one, piece), contexts, pieces)
            )
        if parts:
            self._dimensions = parts[0].shape[1]
        vectors = np.zeros((len(texts), self._dimensions), np.float32)
        if there:
            vectors[there] = np.concatenate(parts)
        return vectors
