"""Buffers that stay, with the real ONNX Runtime; the processor takes the card's place."""

from __future__ import annotations

import gc
from functools import partial

import numpy as np
import onnxruntime
import pytest

from embedway_local.error import LocalError
from embedway_local.gpu import memory
from embedway_local.gpu.bound import Bound
from embedway_local.gpu.captured import Captured
from embedway_local.gpu.feed import feed_of

RANDOM = np.random.default_rng(1)
BATCHES = [
    [[1, *RANDOM.integers(4, 30, RANDOM.integers(0, 18)), 2] for _ in range(rows)]
    for rows in (1, 7, 600, 2)
]


def session(path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("form", ["plain", "fused"])
def test_bound_buffers_carry_the_inputs_and_the_vectors(model, form: str) -> None:
    path = model.path if form == "plain" else model.fused(packed=False, half=False)
    made = session(path)
    bound = Bound(made, feed_of(made, pad=0), kind="cpu")
    plain = model.load("cpu").session

    for ids in BATCHES:
        found = bound.run(ids)
        np.testing.assert_allclose(found, plain.run(ids), rtol=0, atol=1e-6)
        again = bound.run(BATCHES[0])
        assert not np.shares_memory(found, again)


def test_a_query_runs_in_its_bucket_at_fixed_addresses(model) -> None:
    plain = model.load("cpu").session
    captured = Captured(
        session(model.fused(packed=False, half=False)),
        pad=0,
        longest=20,
        kind="cpu",
        allocate=memory.pageable,
    )

    for ids in ([1, 2], [1, *range(4, 17), 2], [1, 5, 2], []):
        assert captured.takes([ids])
        expected = plain.run([ids])
        np.testing.assert_allclose(captured.run([ids]), expected, rtol=0, atol=1e-6)
    assert not captured.takes([[1] * 17])
    assert not captured.takes([[1], [2]])
    with pytest.raises(LocalError, match="17 tokens are too many"):
        captured.run([[1] * 17])
    captured.close()


def test_a_capture_that_cannot_be_made_says_why(model) -> None:
    with pytest.raises(LocalError, match="capture failed"):
        Captured(
            session(model.fused(packed=False, half=False)),
            pad=99,  # no such token
            longest=20,
            kind="cpu",
            allocate=memory.pageable,
        )


class CudaRuntimeLibrary:
    """libcudart, as far as host memory goes."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses = refuses
        self.freed = 0
        self.cards: list[int] = []
        self._blocks: list[np.ndarray] = []

    def cudaSetDevice(self, card: int) -> int:  # noqa: N802 - CUDA's name
        self.cards.append(card)
        return int(self.refuses == "card")

    def cudaHostAlloc(self, place, size, flags: int) -> int:  # noqa: N802 - the same
        if self.refuses == "memory":
            return 2
        self._blocks.append(np.zeros(size.value, np.uint8))
        place._obj.value = self._blocks[-1].ctypes.data
        return 0

    def cudaFreeHost(self, place) -> int:  # noqa: N802 - the same
        self.freed += 1
        return 0


def test_pinned_memory_lives_as_long_as_its_last_view(monkeypatch: pytest.MonkeyPatch) -> None:
    library = CudaRuntimeLibrary()
    monkeypatch.setattr(memory, "_runtime", lambda: library)

    view = memory.pinned(1024, card=1)[8:16].view(np.float32)
    gc.collect()
    assert ([1], 0) == (library.cards, library.freed)
    view[:] = 3
    del view
    gc.collect()

    assert 1 == library.freed


@pytest.mark.parametrize("refuses", ["card", "memory"])
def test_without_pinned_memory_ordinary_memory_does(
    monkeypatch: pytest.MonkeyPatch, refuses: str
) -> None:
    monkeypatch.setattr(memory, "_runtime", partial(CudaRuntimeLibrary, refuses))

    assert 1024 == memory.pinned(1024).nbytes


def test_without_cuda_ordinary_memory_does() -> None:
    assert 1024 == memory.pinned(1024).nbytes
