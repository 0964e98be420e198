from types import SimpleNamespace

import numpy as np
import pytest

from embedway_local import LocalError, ModelCorrupt, ModelUnsupported
from embedway_local.session import Session


class Runtime:
    """Stands for ONNX Runtime's session: remembers what it was fed."""

    def __init__(self, inputs, *, size: object = 2, vectors=None) -> None:
        self.inputs = inputs
        self.size = size
        self.vectors = vectors
        self.fed: dict[str, np.ndarray] = {}

    def get_inputs(self):
        return [SimpleNamespace(name=name, type=kind) for name, kind in self.inputs.items()]

    def get_outputs(self):
        return [SimpleNamespace(name="out", shape=["batch", self.size])]

    def run(self, outputs, feeds):
        assert ["out"] == outputs
        self.fed = feeds
        if isinstance(self.vectors, Exception):
            raise self.vectors
        rows = len(next(iter(feeds.values())))
        return [np.zeros((rows, 2), np.float32) if self.vectors is None else self.vectors]


def test_short_rows_are_padded_on_the_right() -> None:
    runtime = Runtime({"ids": "tensor(int32)", "lengths": "tensor(int32)"})

    vectors = Session(runtime, pad=9).run([[1, 2, 3], [4]])

    assert (2, 2) == vectors.shape
    assert [[1, 2, 3], [4, 9, 9]] == runtime.fed["ids"].tolist()
    assert [3, 1] == runtime.fed["lengths"].tolist()
    assert {np.dtype(np.int32)} == {array.dtype for array in runtime.fed.values()}


@pytest.mark.parametrize(("kind", "dtype"), [("int64", np.int64), ("int32", np.int32)])
def test_exports_get_their_three_inputs_in_their_type(kind: str, dtype: type) -> None:
    names = ("input_ids", "attention_mask", "token_type_ids")
    runtime = Runtime(dict.fromkeys(names, f"tensor({kind})"))

    Session(runtime).run([[7], [5, 6]])

    assert {
        "input_ids": [[7, 0], [5, 6]],
        "attention_mask": [[1, 0], [1, 1]],
        "token_type_ids": [[0, 0], [0, 0]],
    } == {name: array.tolist() for name, array in runtime.fed.items()}
    assert {np.dtype(dtype)} == {array.dtype for array in runtime.fed.values()}


def test_no_tokens_at_all_are_one_of_padding() -> None:
    runtime = Runtime({"ids": "tensor(int32)"})

    Session(runtime).run([[]])

    assert (1, 1) == runtime.fed["ids"].shape


@pytest.mark.parametrize(
    "inputs", [{"pixels": "tensor(int64)"}, {"input_ids": "tensor(float)"}], ids=str
)
def test_an_input_that_we_cannot_give_is_named(inputs: dict[str, str]) -> None:
    with pytest.raises(ModelUnsupported, match=next(iter(inputs))):
        Session(Runtime(inputs))


def test_the_size_of_the_vectors_must_be_stated_and_kept() -> None:
    with pytest.raises(ModelUnsupported, match="size"):
        Session(Runtime({}, size="hidden"))
    wrong = Runtime({"ids": "tensor(int32)"}, vectors=np.zeros((1, 3), np.float32))
    with pytest.raises(ModelCorrupt, match=r"\(1, 3\)"):
        Session(wrong).run([[1]])


def test_a_failed_run_is_a_local_error() -> None:
    runtime = Runtime({"ids": "tensor(int32)"}, vectors=RuntimeError("out of memory"))

    with pytest.raises(LocalError, match="out of memory"):
        Session(runtime).run([[1]])
