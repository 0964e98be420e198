"""The model in this process: loaded when first needed, and perhaps never."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

from embedway_client.embedding import EmbeddingResult
from embedway_upstream import BadVector, InputType, InvalidRequest, Usage

if TYPE_CHECKING:
    from embedway_local import LocalEmbedder

__all__ = ["Local", "Precision", "load_errors"]

# As the local runtime has it, which is imported only where it is used.
Precision: TypeAlias = Literal["fp32", "bf16", "fp16", "int8", "auto"]


class Local:
    """
    A `LocalEmbedder`, opened on first use; safe to use from several threads.

    `load`: opens it; by default in `precision`, on a card or else on all cores.
    """

    def __init__(
        self,
        model: str,
        *,
        dimensions: int | None,
        precision: Precision = "fp32",
        prompts: Mapping[str, str] | None = None,
        load: Callable[[], LocalEmbedder] | None = None,
    ) -> None:
        self._model = model
        self._load = load or partial(_load, model, precision, prompts)
        self._dimensions = dimensions
        self._embedder: LocalEmbedder | None = None
        self._lock = threading.Lock()

    @property
    def fingerprint(self) -> str:
        """Of the model's vector space. Loads the model, and raises what `encode` does."""
        return self._open().space.fingerprint

    def encode(self, texts: Sequence[str], input_type: InputType) -> EmbeddingResult:
        """
        The vectors, marked as no fallback.

        Raises `ImportError` where the extra is not installed, `embedway_local.LocalError` where
        the model cannot be had, `InvalidRequest` for dimensions other than the model's own,
        `BadVector` for texts that it makes no numbers of.
        """
        embedder = self._open()
        from embedway_local.error import NotNumbers

        try:
            done = embedder.encode(texts, input_type=input_type)
        except NotNumbers as error:
            raise BadVector(error.reason, rows=error.rows) from error
        return EmbeddingResult(
            vectors=done.vectors,
            usage=Usage(done.tokens, done.tokens),
            vector_space=embedder.space.fingerprint,
            fallback=False,
        )

    def close(self) -> None:
        """Free the model; the next use loads it again."""
        with self._lock:
            embedder, self._embedder = self._embedder, None
        if embedder is not None:
            embedder.close()

    def _open(self) -> LocalEmbedder:
        with self._lock:
            if self._embedder is None:
                self._embedder = self._load()
            embedder = self._embedder
        if self._dimensions not in {None, embedder.dimensions}:
            raise InvalidRequest(
                f"dimensions={self._dimensions}: in this process {self._model} gives vectors of "
                f"{embedder.dimensions} dimensions, and they are not cut",
                param="dimensions",
            )
        return embedder


def load_errors() -> tuple[type[Exception], ...]:
    """What opening a model can raise on a machine that is not prepared for it."""
    try:
        from embedway_local import LocalError
    except ImportError:
        return (ImportError,)
    return (ImportError, InvalidRequest, LocalError, OSError, RuntimeError)


def _load(model: str, precision: Precision, prompts: Mapping[str, str] | None) -> LocalEmbedder:
    try:
        from embedway_local import LocalEmbedder

        return LocalEmbedder(model, precision=precision, prompts=prompts)
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{error.name} is missing; to embed in this process: pip install "embedway[local]"',
            name=error.name,
        ) from error
