"""Whatever a safetensors file holds, reading it gives arrays or `ModelCorrupt`."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedway_local import ModelCorrupt
from embedway_local.graph.weight import read_weights

ANCHOR = "embeddings.word_embeddings.weight"
# The folder of a test's function is shared by its examples; each overwrites the same file.
anew = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
headers = st.dictionaries(
    st.sampled_from([ANCHOR, f"bert.{ANCHOR}", "__metadata__", "x"]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "BF16", "I64", "F8_E4M3", "BOOL", "no"]) | json_values,
            "shape": st.lists(st.integers(-1, 5), max_size=3) | json_values,
            "data_offsets": st.lists(st.integers(-4, 99), max_size=3) | json_values,
        }
    )
    | json_values,
    max_size=3,
)


def read(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        taken = read_weights([path], ANCHOR).take(ANCHOR, None, None)
    except ModelCorrupt as error:
        said = str(error)
    else:
        said = str(path)
        assert taken.dtype == np.float32

    assert str(path) in said or ANCHOR in said


@anew
@given(st.binary(max_size=200))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    read(tmp_path / "w.safetensors", data)


@anew
@given(headers | json_values, st.binary(max_size=99), st.integers(-9, 9))
def test_random_headers(tmp_path: Path, header: object, body: bytes, off: int) -> None:
    head = json.dumps(header).encode()
    size = struct.pack("<Q", max(0, len(head) + (off if off > 5 else 0)))

    read(tmp_path / "w.safetensors", size + head + body)


@anew
@given(st.data())
def test_cut_and_flipped_files(tiny: Callable, tmp_path: Path, data: st.DataObject) -> None:
    whole = (tiny().folder / "model.safetensors").read_bytes()
    end = data.draw(st.integers(0, len(whole)))
    place = data.draw(st.integers(0, min(3000, len(whole) - 1)))
    flipped = bytearray(whole)
    flipped[place] ^= data.draw(st.integers(1, 255))

    read(tmp_path / "w.safetensors", whole[:end])
    read(tmp_path / "w.safetensors", bytes(flipped))


def test_a_tensor_of_another_shape_or_name_is_refused(tiny: Callable) -> None:
    weights = read_weights([tiny().folder / "model.safetensors"], ANCHOR)

    with pytest.raises(ModelCorrupt, match=r"shape \[30, 24\]"):
        weights.take(ANCHOR, 30, 25)
    with pytest.raises(ModelCorrupt, match="shape"):
        weights.take(ANCHOR, 30)
    with pytest.raises(ModelCorrupt, match="no tensor 'nothing'"):
        weights.take("nothing", 1)


def test_integers_are_no_weights(tmp_path: Path) -> None:
    head = json.dumps({ANCHOR: {"dtype": "I32", "shape": [1, 1], "data_offsets": [0, 4]}}).encode()
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head + b"\0\0\0\0")

    with pytest.raises(ModelCorrupt, match="I32"):
        read_weights([path], ANCHOR).take(ANCHOR, None, None)


HUGE = 2**60
TENSOR = {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}


def packed(header: str, body: bytes = b"\0" * 8, size: int | None = None) -> bytes:
    head = header.encode()
    return struct.pack("<Q", len(head) if size is None else size) + head + body


@pytest.mark.parametrize(
    "data",
    [
        packed("{}", size=HUGE),
        packed("{}", size=2**64 - 1),
        packed("[" * 100_000),
        packed('{"a":' * 50_000),
        packed(json.dumps({ANCHOR: {**TENSOR, "shape": [2**32, 2**32, 2**32]}})),
        packed(json.dumps({ANCHOR: {**TENSOR, "shape": [2**63, 2]}})),
        packed(json.dumps({ANCHOR: {**TENSOR, "data_offsets": [0, HUGE]}})),
        packed(json.dumps({ANCHOR: {**TENSOR, "data_offsets": [4, 0]}})),
        packed(json.dumps({ANCHOR: {**TENSOR, "data_offsets": [-4, 0]}})),
        packed(json.dumps({ANCHOR: TENSOR, "other": TENSOR}), b"\0" * 4),
        packed(json.dumps({ANCHOR: TENSOR, "other": {**TENSOR, "data_offsets": [2, 6]}})),
        packed(json.dumps({ANCHOR: {**TENSOR, "dtype": "F128"}})),
        packed(json.dumps({ANCHOR: {**TENSOR, "shape": [float("nan"), 1]}})),
        packed(json.dumps({ANCHOR: {**TENSOR, "shape": [10**400, 1]}})),
        packed('{"' + ANCHOR + '": {}, "' + ANCHOR + '": ' + json.dumps(TENSOR) + "}"),
    ],
)
def test_headers_that_lie_are_corrupt(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)

    with pytest.raises(ModelCorrupt, match=r"w\.safetensors"):
        read_weights([path], ANCHOR).take(ANCHOR, None, None)


def test_tensors_without_values_are_read_as_such(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    empty = {"dtype": "F32", "shape": [0, 24], "data_offsets": [0, 0]}
    path.write_bytes(packed(json.dumps({ANCHOR: empty}), b""))

    assert read_weights([path], ANCHOR).take(ANCHOR, None, 24).shape == (0, 24)
    with pytest.raises(ModelCorrupt, match="shape"):
        read_weights([path], ANCHOR).take(ANCHOR, 30, 24)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("F32", np.float32("nan")), ("F32", np.float32("inf")), ("F64", np.float64(1e300))],
)
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, kind: str, value: np.generic
) -> None:
    path = tmp_path / "w.safetensors"
    about = {"dtype": kind, "shape": [1, 1], "data_offsets": [0, value.itemsize]}
    path.write_bytes(packed(json.dumps({ANCHOR: about}), value.tobytes()))

    with pytest.raises(ModelCorrupt, match="not finite"):
        read_weights([path], ANCHOR).take(ANCHOR, None, None)


def test_a_tensor_that_two_files_have_is_refused(tiny: Callable, tmp_path: Path) -> None:
    path = tiny().folder / "model.safetensors"
    other = tmp_path / "other.safetensors"
    other.write_bytes(path.read_bytes())

    with pytest.raises(ModelCorrupt, match="there twice"):
        read_weights([path, other], ANCHOR)
