from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.parquet_sink import Parquet
from embedway_gateway.bulk.parquet_source import records
from embedway_gateway.bulk.row import Cell, Fields, Row
from embedway_gateway.bulk.sink import JSONLines
from embedway_gateway.bulk.source import Source

TYPED = pa.table(
    {
        "text": pa.array(["a", "b", "c"], pa.large_string()),
        "key": pa.array([3, 2, 1], pa.int16()),
        "small": pa.array([1, None, 3], pa.int8()),
        "when": pa.array([1, 2, None], pa.timestamp("ns", tz="UTC")),
        "tags": pa.array([["x"], None, []], pa.list_(pa.string())),
        "inner": pa.array([{"a": 1}, None, {"a": None}], pa.struct([("a", pa.int32())])),
        "price": pa.array([1, 2, 3], pa.decimal128(7, 2)),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
        "raw": pa.array([b"\x00", b"\xff", None], pa.binary()),
        "none": pa.array([None, None, None], pa.float32()),
    }
)


def read(path: Path, **fields: Any) -> list[Row]:
    return list(Source([str(path)], Fields(**fields)).rows())


def write(rows: list[Row], folder: Path, *, size: int) -> Any:
    """In parts of `size` rows, merged and read again."""
    vectors = np.arange(len(rows) * 2, dtype=np.float32).reshape(-1, 2)
    parts = []
    for start in range(0, len(rows), size):
        parts.append(folder / f"part{start}")
        Parquet().write(parts[-1], rows[start : start + size], vectors[start : start + size])
    Parquet().merge(parts, folder / "out.parquet", {"model": "m"})
    return pq.read_table(folder / "out.parquet")


def test_text_and_id_are_read_as_pythons(tmp_path: Path) -> None:
    pq.write_table(TYPED, tmp_path / "a.parquet")

    found = [(row.id, row.text, row.place) for row in read(tmp_path / "a.parquet", id="key")]

    assert [
        (3, "a", f"{tmp_path}/a.parquet:1"),
        (2, "b", f"{tmp_path}/a.parquet:2"),
        (1, "c", f"{tmp_path}/a.parquet:3"),
    ] == found


def test_only_the_columns_that_matter_are_read(tmp_path: Path) -> None:
    pq.write_table(TYPED, tmp_path / "a.parquet")

    _, record = next(records(tmp_path / "a.parquet", Fields(id="key")))

    assert record == {"text": "a", "key": 3}


@pytest.mark.parametrize("size", [1, 2, 3])
def test_kept_columns_keep_their_types(tmp_path: Path, size: int) -> None:
    pq.write_table(TYPED, tmp_path / "a.parquet")

    table = write(read(tmp_path / "a.parquet", keep=True), tmp_path, size=size)

    expected = pq.read_table(tmp_path / "a.parquet")
    assert ["id", *expected.column_names, "embedding"] == table.column_names
    for name in set(expected.column_names) - {"text"}:
        assert expected.schema.field(name).type == table.schema.field(name).type
        kept = table.column(name).unify_dictionaries().combine_chunks()
        assert expected.column(name).combine_chunks().equals(kept), name


def test_the_vectors_are_fixed_size_lists_of_float32(tmp_path: Path) -> None:
    rows = [Row(place="a:1", id=index, text="x") for index in range(5)]

    table = write(rows, tmp_path, size=2)

    assert table.column_names == ["id", "embedding"]
    assert pa.list_(pa.float32(), 2) == table.schema.field("embedding").type
    assert table.column("embedding").to_pylist()[:2] == [[0.0, 1.0], [2.0, 3.0]]
    assert table.schema.metadata[b"embedway.model"] == b"m"


def test_parts_become_few_row_groups(tmp_path: Path) -> None:
    write([Row(place="a:1", id=index, text="x") for index in range(20)], tmp_path, size=2)

    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups == 1


def test_a_large_output_has_several_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedway_gateway.bulk.parquet_sink._GROUP_BYTES", 64)
    rows = [Row(place="a:1", id=index, text="x") for index in range(20)]

    assert list(range(20)) == write(rows, tmp_path, size=2).column("id").to_pylist()
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups > 1


@pytest.mark.parametrize(
    ("values", "expected", "kind"),
    [
        ([1, 2, None, 3], [1, 2, None, 3], pa.int64()),
        ([1, 2, 0.5, 3], [1.0, 2.0, 0.5, 3.0], pa.float64()),
        ([None, None, True, False], [None, None, True, False], pa.bool_()),
        ([None, None, None, "a"], [None, None, None, "a"], pa.string()),
        ([1, 2, "a", "b"], ["1", "2", '"a"', '"b"'], pa.string()),
        (["a", "b", [1], None], ['"a"', '"b"', "[1]", None], pa.string()),
        ([{"a": 1}, None, "b", "c"], ['{"a":1}', None, '"b"', '"c"'], pa.string()),
        ([True, True, 1, 1], ["true", "true", "1", "1"], pa.string()),
        ([2**70, 1, 1, 1], [str(2**70), "1", "1", "1"], pa.string()),
        ([None] * 4, [None] * 4, pa.null()),
        ([2**53, 0.5, 1, -(2**53)], [2.0**53, 0.5, 1.0, -(2.0**53)], pa.float64()),
        ([2**53 + 1, 0.5, 1, 2], [str(2**53 + 1), "0.5", "1", "2"], pa.string()),
        ([2**53 + 1, 1, 0.5, 2.5], [str(2**53 + 1), "1", "0.5", "2.5"], pa.string()),
        ([0.5, 2.5, None, 2**53 + 1], ["0.5", "2.5", None, str(2**53 + 1)], pa.string()),
    ],
)
def test_kept_json_values_get_one_type_over_all_parts(
    tmp_path: Path, values: list[object], expected: list[object], kind: Any
) -> None:
    rows = [
        Row(place="a:1", id=index, text="x", kept={"k": value})
        for index, value in enumerate(values)
    ]

    column = write(rows, tmp_path, size=2).column("k")

    assert (kind, expected) == (column.type, column.to_pylist())


def test_a_field_may_be_in_some_rows_only(tmp_path: Path) -> None:
    kept: list[dict[str, object]] = [{}, {"a": 1}, {"b": "x"}, {}]
    rows = [Row(place="a:1", id=index, text="x", kept=item) for index, item in enumerate(kept)]

    table = write(rows, tmp_path, size=2)

    assert table.column_names == ["id", "a", "b", "embedding"]
    assert table.column("a").to_pylist() == [None, 1, None, None]
    assert table.column("b").to_pylist() == [None, None, "x", None]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([1, 2, 3], [1, 2, 3]),
        ([1, 2, "c"], ["1", "2", "c"]),
        ([1, "b", 3], ["1", "b", "3"]),
        ([1, 2**64], ["1", str(2**64)]),
    ],
)
def test_ids_are_integers_or_else_all_strings(
    tmp_path: Path, ids: list[int | str], expected: list[object]
) -> None:
    rows = [Row(place="a:1", id=key, text="x") for key in ids]

    assert expected == write(rows, tmp_path, size=2).column("id").to_pylist()


def test_columns_of_several_inputs_are_joined(tmp_path: Path) -> None:
    """Integers of two widths, a column of two kinds, and one that only one file has."""
    first = {"text": ["a"], "n": pa.array([1], pa.int8()), "m": [1]}
    second = {"text": ["b"], "n": pa.array([2], pa.int32()), "m": ["x"], "only": [True]}
    pq.write_table(pa.table(first), tmp_path / "a.parquet")
    pq.write_table(pa.table(second), tmp_path / "b.parquet")
    inputs = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    rows = list(Source(inputs, Fields(keep=True)).rows())

    for size in (1, 2):
        table = write(rows, tmp_path, size=size)
        assert table.column("n").to_pylist() == [1, 2]
        assert table.column("m").to_pylist() == ["1", '"x"']
        assert table.column("only").to_pylist() == [None, True]


@pytest.mark.parametrize(
    ("year", "kind", "expected"),
    [
        (2000, pa.timestamp("ns"), "2000-01-01 00:00:00"),
        (3000, pa.string(), '"3000-01-01T00:00:00"'),
    ],
)
def test_a_time_is_never_moved(tmp_path: Path, year: int, kind: Any, expected: str) -> None:
    """Nanoseconds end in the year 2262; a column of them has no room for what is later."""
    first = pa.array([dt.datetime(year, 1, 1)], pa.timestamp("s"))  # noqa: DTZ001
    second = pa.array([1], pa.timestamp("ns"))
    pq.write_table(pa.table({"text": ["a"], "when": first}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"], "when": second}), tmp_path / "b.parquet")
    inputs = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    rows = list(Source(inputs, Fields(keep=True)).rows())

    column = write(rows, tmp_path, size=1).column("when")

    assert kind == column.type
    assert expected in str(column[0].cast("string"))
    assert "00:00:00.000000001" in str(column[1].cast("string"))


def test_arrow_values_can_be_written_as_json_lines(tmp_path: Path) -> None:
    pq.write_table(TYPED, tmp_path / "a.parquet")
    rows = read(tmp_path / "a.parquet", id="key", keep=True)

    JSONLines().write(tmp_path / "out.jsonl", rows, np.zeros((3, 1), np.float32))

    first = (tmp_path / "out.jsonl").read_text().splitlines()[0]
    assert first == (
        '{"id":3,"text":"a","small":1,"when":"1970-01-01 00:00:00.000000001Z","tags":["x"],'
        '"inner":{"a":1},"price":"1.00","kind":"x","raw":"AA==","none":null,"embedding":[0.0]}'
    )


def test_a_cell_is_pythons_value_where_python_has_one() -> None:
    column = pa.array([dt.date(2024, 2, 29), None])

    assert dt.date(2024, 2, 29) == Cell(column, 0).plain()
    assert Cell(column, 1).plain() is None


def test_what_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"text")

    with pytest.raises(BadInput, match=r"a\.parquet: cannot be read as Parquet"):
        read(tmp_path / "a.parquet")


def test_a_missing_column_is_refused_with_those_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["a"], "n": [1]}), tmp_path / "a.parquet")

    with pytest.raises(BadInput, match="no column 'text', only body, n; --text-field"):
        read(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array(["a", None]), "2: 'text' is null"),
        (pa.array([1, 2]), "1: 'text' is a number"),
        (pa.array([b"a"]), "1: 'text' is a bytes"),
        (pa.array(["a", " "]), "2: the text is empty"),
    ],
)
def test_a_bad_value_is_refused_with_its_row(tmp_path: Path, column: Any, expected: str) -> None:
    pq.write_table(pa.table({"text": column}), tmp_path / "a.parquet")

    with pytest.raises(BadInput, match=rf"a\.parquet:{expected}"):
        read(tmp_path / "a.parquet")


def test_rows_are_counted_from_the_footer(tmp_path: Path) -> None:
    pq.write_table(TYPED, tmp_path / "a.parquet")

    assert Source([str(tmp_path / "a.parquet")], Fields()).count() == 3
