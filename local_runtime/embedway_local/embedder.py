"""Embeds texts in this process: the runtime's public class."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, get_args

from embedway_local.call import WINDOW, Call, LocalEmbedding, never
from embedway_local.catalogue import DEFAULT_MODEL
from embedway_local.error import DeviceUnavailable
from embedway_local.gpu.cuda import Plan
from embedway_local.gpu.trial import TEXTS
from embedway_local.gpu.use import CardUse
from embedway_local.graph.cache import weights_digest
from embedway_local.graph.card import card_graph
from embedway_local.graph.fact import deciding
from embedway_local.graph.int8 import VERSION as QUANTISER
from embedway_local.home import embedway_home
from embedway_local.pooling import Pooling
from embedway_local.precision import Precision, PrecisionChoice, chosen
from embedway_local.prompt import InputType, automatic, by_type, require_known
from embedway_local.provider import Device, Loaded
from embedway_local.reduced import agreed, load_in, prepared
from embedway_local.source.find import find
from embedway_local.space import VectorSpace
from embedway_local.store import Store
from embedway_local.stream import stream
from embedway_local.tokenise import Tokeniser
from embedway_local.work import Workers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedway_local.checkpoint import Checkpoint

__all__ = ["InputType", "LocalEmbedder", "LocalEmbedding"]

_SPAWN = 'start processes with multiprocessing.get_context("spawn")'


@dataclass(frozen=True, slots=True)
class _Opened:
    """What one process uses of a model."""

    pid: int
    tokeniser: Tokeniser
    loaded: Loaded
    workers: Workers


class LocalEmbedder:
    """
    A text-embedding model in this process, on ONNX Runtime.

    `model` is a folder or a name on the Hugging Face hub; it is downloaded once, on first use,
    into `EMBEDWAY_HOME`. May be used from many threads at once: they share one pool of as many
    workers as there are cores. A forked child may go on using it, on the processor, except in bf16;
    a pickled one is opened again from its arguments.

        embedder = LocalEmbedder("sentence-transformers/all-MiniLM-L6-v2")
        embedder.embed(["a text", "another"])  # float32 (2, 384)

    `device`: "auto" takes a CUDA card that works, else the processor; "cuda" insists, "cuda:1",
    "cuda:0,1" and "cuda:all" choose cards, "tensorrt" is an alternative that is slow to start.
    `card`: bounds the memory on a card, and switches CUDA graphs off.
    `precision`: "fp32" is exact; "int8" and "bf16" are faster and close, each a vector space of its
    own; "auto" never changes the space, and so is "fp32".
    `threads`: cores to use, by default all that this process may use.
    `max_tokens`, `pooling`: replace what the model's folder says.
    `prompts`: texts put before a "query" or a "document"; by default those of the model's
    own files; "auto" takes those of the catalogue where the files declare none.
    `home`: the model store; by default `EMBEDWAY_HOME`.

    Raises `ModelNotFound`, `ModelCorrupt`, `ModelUnsupported` or `DeviceUnavailable`.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        device: Device = "auto",
        precision: PrecisionChoice = "fp32",
        card: CardUse | None = None,
        threads: int | None = None,
        max_tokens: int | None = None,
        pooling: Pooling | None = None,
        prompts: Mapping[str, str] | Literal["auto"] | None = None,
        home: Path | None = None,
    ) -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: at least 1 is needed")
        if pooling is not None and pooling not in get_args(Pooling):
            raise ValueError(f'pooling={pooling!r}: "cls", "mean" and "last" are known')
        require_known(prompts)
        self.precision = chosen(precision)
        self._again = partial(
            LocalEmbedder,
            model,
            device=device,
            precision=precision,
            card=card,
            threads=threads,
            max_tokens=max_tokens,
            pooling=pooling,
            prompts=dict(prompts) if isinstance(prompts, Mapping) else prompts,
            home=home,
        )
        home = home or embedway_home()
        checkpoint = find(model, Store(home), pooling=pooling, max_tokens=max_tokens)
        self.model = str(model)
        if isinstance(prompts, Mapping):
            self._prompts = by_type(prompts)
        elif prompts == "auto":
            self._prompts = automatic(self.model, checkpoint.prompts)
        else:
            self._prompts = by_type(checkpoint.prompts)
        graph = prepared(checkpoint, home, self.precision)
        cards = _cards(checkpoint, home, card or CardUse())
        self._open = partial(
            _open, checkpoint, graph, cards, threads=threads, precision=self.precision
        )
        self._opened = self._open(device)
        self.agreement = agreed(checkpoint, home, self.precision, self._opened.loaded)
        self.device = self._opened.loaded.device
        self.max_tokens = checkpoint.max_tokens
        self.dimensions = self._opened.loaded.session.dimensions
        self.space = _space(checkpoint, home, self._opened, self._prompts, self.precision)

    def embed(
        self, texts: Sequence[str], *, input_type: InputType | None = "document"
    ) -> NDArray[np.float32]:
        """
        One vector a text: float32 (n, dimensions), row i of text i, of unit length.

        `input_type` chooses the prompt that is put before each text; None puts none.
        Texts longer than `max_tokens` are cut there. Raises `ValueError` for a text with lone
        surrogates, `TypeError` for anything but a sequence of strings, `LocalError` when the
        device fails.
        """
        return self.encode(texts, input_type=input_type).vectors

    def encode(
        self, texts: Sequence[str], *, input_type: InputType | None = "document"
    ) -> LocalEmbedding:
        """Like `embed`, with the tokens that were read and the texts that were cut."""
        return self._call(self._prompt(texts, input_type)).run(texts)

    def embed_iter(
        self, texts: Iterable[str], *, input_type: InputType | None = "document"
    ) -> Iterator[NDArray[np.float32]]:
        """
        Like `embed` for any number of texts, in constant memory: one vector a text, in order.

        Each is float32 (dimensions,). `texts` is drawn from in the thread that asks for vectors,
        up to some 6,000 or 6 million characters ahead of them, and no further while none is asked
        for. Closing the iterator, or dropping it, drops what has not been computed. Errors are
        those of `embed`, and end it.
        """
        prompt = self._prompt(texts, input_type)

        def part(block: list[str], first: int, stopped: Callable[[], bool]) -> NDArray[np.float32]:
            alone = self._opened.loaded.alone
            if alone is not None and first:
                # Beside a long stream no text is alone.
                alone.give_up()
            return self._call(prompt, first, stopped).run(block).vectors

        return stream(texts, part, window=WINDOW)

    def close(self) -> None:
        """Stop the workers; later calls raise `RuntimeError`."""
        self._opened.workers.close()
        if self._opened.loaded.alone is not None:
            self._opened.loaded.alone.close()

    def _prompt(self, texts: Iterable[str], input_type: InputType | None) -> str:
        if isinstance(texts, str | bytes):
            raise TypeError("texts is one string; give a list of strings")
        if input_type is not None and input_type not in self._prompts:
            raise ValueError(f'input_type={input_type!r}: "query" and "document" are known')
        return "" if input_type is None else self._prompts[input_type]

    def _call(self, prompt: str, first: int = 0, stopped: Callable[[], bool] = never) -> Call:
        opened = self._here()
        return Call(
            tokeniser=opened.tokeniser,
            loaded=opened.loaded,
            workers=opened.workers,
            prompt=prompt,
            first=first,
            stopped=stopped,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[[], LocalEmbedder], tuple[()]]:
        return self._again, ()

    def __repr__(self) -> str:
        return f"LocalEmbedder({self.model!r}, device={self.device!r})"

    def _here(self) -> _Opened:
        """What was opened, opened again in a forked child where it may be in an unknown state."""
        opened = self._opened
        if opened.pid == os.getpid():
            return opened
        if self.device != "cpu":
            raise DeviceUnavailable(
                "CUDA cannot be used in a process that was forked after it was started", _SPAWN
            )
        if self.precision == "bf16":
            # It would wait for its threads, which are in the parent.
            raise DeviceUnavailable(
                "OpenVINO cannot be used in a process that was forked after it was started", _SPAWN
            )
        # Locks inside ONNX Runtime or the tokenizer that another thread held are held for ever.
        # Without that, the parent's memory is shared: nothing to load, 90 MB saved a process.
        if opened.workers.busy:
            self._opened = opened = self._open("cpu")
        return opened


def _cards(checkpoint: Checkpoint, home: Path, use: CardUse) -> Plan:
    """How the model is run where there is a card."""
    return Plan(
        use=use,
        fused=partial(card_graph, checkpoint, home),
        pooling=checkpoint.pooling,
        heads=checkpoint.heads,
        longest=checkpoint.max_tokens,
        engines=home / "engines",
    )


def _open(
    checkpoint: Checkpoint,
    graph: Path,
    cards: Plan,
    device: Device,
    *,
    threads: int | None,
    precision: Precision,
) -> _Opened:
    tokeniser = Tokeniser(checkpoint)
    tried = replace(cards, trial=tokeniser.encode(TEXTS)[0])
    loaded = load_in(graph, precision, device, threads, pad=checkpoint.pad, plan=tried)
    return _Opened(os.getpid(), tokeniser, loaded, Workers(loaded.callers))


def _space(
    checkpoint: Checkpoint,
    home: Path,
    opened: _Opened,
    prompts: Mapping[InputType, str],
    precision: Precision,
) -> VectorSpace:
    return VectorSpace(
        weights=weights_digest(checkpoint, home),
        tokenizer=opened.tokeniser.digest,
        dimensions=opened.loaded.session.dimensions,
        pooling=checkpoint.pooling,
        max_tokens=checkpoint.max_tokens,
        lowercase=checkpoint.lowercase,
        query_prompt=prompts["query"],
        document_prompt=prompts["document"],
        precision=precision,
        recipe=QUANTISER if precision == "int8" else 0,
        encoder=deciding(checkpoint),
    )
