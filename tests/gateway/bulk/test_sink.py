from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedway_gateway.bulk.error import OutputRefused
from embedway_gateway.bulk.parquet_sink import Parquet
from embedway_gateway.bulk.row import Row
from embedway_gateway.bulk.sink import JSONLines, NumPy, shortest, sink_for

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def rows(count: int) -> list[Row]:
    return [Row(place=f"a:{index}", id=index, text="x") for index in range(count)]


@given(arrays(np.float32, (3, 5), elements=FLOATS))
def test_short_digits_are_the_same_float32(vectors: np.ndarray) -> None:
    assert np.array_equal(vectors, shortest(vectors).astype(np.float32))


def test_digits_are_as_few_as_json_needs() -> None:
    vectors = np.random.default_rng(1).standard_normal((50, 384)).astype(np.float32)

    numbers = shortest(np.abs(vectors)).ravel().tolist()
    digits = [
        len(repr(number).partition("e")[0].strip("0.").replace(".", "")) for number in numbers
    ]

    assert max(digits) <= 10


def test_numpy_parts_become_one_array(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((7, 3)).astype(np.float32)
    parts = []
    for start in (0, 3, 6):
        parts.append(tmp_path / f"part{start}")
        NumPy().write(parts[-1], rows(len(vectors[start : start + 3])), vectors[start : start + 3])

    NumPy().merge(parts, tmp_path / "out", {})

    merged = np.load(tmp_path / "out")
    assert np.float32 == merged.dtype
    assert np.array_equal(vectors, merged)
    assert np.load(tmp_path / "out", mmap_mode="r").flags["C_CONTIGUOUS"]


def test_json_lines_hold_id_kept_fields_and_vector(tmp_path: Path) -> None:
    row = Row(place="a:1", id="é", text="x", kept={"text": "猫\u2028", "tags": [1, None]})

    JSONLines().write(tmp_path / "part", [row], np.array([[0.1, -2.0]], np.float32))
    JSONLines().merge([tmp_path / "part", tmp_path / "part"], tmp_path / "out", {})

    line = '{"id":"é","text":"猫\u2028","tags":[1,null],"embedding":[0.1,-2.0]}'.replace(
        "0.1,", "0.1000000015,"
    )
    assert f"{line}\n{line}\n" == (tmp_path / "out").read_text()
    (found,) = {json.loads(text)["embedding"][0] for text in [line]}
    assert np.float32(0.1) == np.float32(found)


@pytest.mark.parametrize(
    ("name", "kind"), [("a.npy", NumPy), ("a.jsonl", JSONLines), ("a.PARQUET", Parquet)]
)
def test_the_name_decides_the_format(name: str, kind: type) -> None:
    assert isinstance(sink_for(Path(name), keep=False, named=False), kind)


@pytest.mark.parametrize("name", ["vectors", "vectors.csv", "vectors.json"])
def test_an_unknown_format_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(OutputRefused, match=r"ends in \.parquet, \.jsonl or \.npy"):
        sink_for(Path(name), keep=False, named=False)


@pytest.mark.parametrize(("keep", "named", "option"), [(1, 0, "--keep"), (0, 1, "--id-field")])
def test_numpy_has_no_place_for_columns(keep: int, named: int, option: str) -> None:
    with pytest.raises(OutputRefused, match=f"vectors only, so {option} has no effect"):
        sink_for(Path("a.npy"), keep=bool(keep), named=bool(named))
