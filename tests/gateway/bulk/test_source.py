from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest

from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.row import Fields
from embedway_gateway.bulk.source import Source


def write(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_bytes(content.encode())
    return str(path)


def rows(*inputs: str, stdin: bytes = b"", **fields: object) -> list[tuple[object, str]]:
    source = Source(inputs, Fields(**fields), stdin=io.BytesIO(stdin))  # type: ignore[arg-type]
    return [(row.id, row.text) for row in source.rows()]


def refusal(*inputs: str, **fields: object) -> str:
    with pytest.raises(BadInput) as caught:
        rows(*inputs, **fields)
    return str(caught.value)


def test_a_text_file_is_one_text_a_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\r\ntwo\u2028still two\nthree")

    assert rows(path) == [(0, "one"), (1, "two\u2028still two"), (2, "three")]


def test_json_lines_give_text_id_and_more(tmp_path: Path) -> None:
    content = '{"text": "a\\nb", "key": "k1"}\n\n{"text": "c", "key": 7, "more": [1]}\n'
    path = write(tmp_path, "a.jsonl", content)

    assert rows(path, id="key") == [("k1", "a\nb"), (7, "c")]


def test_csv_knows_quotes_and_line_breaks_in_them(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", '\ufeffid,body\r\n1,"a, ""b""\r\nc"\r\n2,d\r\n')

    assert rows(path, text="body", id="id") == [("1", 'a, "b"\r\nc'), ("2", "d")]


def test_a_csv_text_may_be_long(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text\n" + "x" * 1_000_000 + "\n")

    assert len(rows(path)[0][1]) == 1_000_000


def test_standard_input_is_one_text_a_line() -> None:
    assert rows("-", stdin=b"one\ntwo\n") == [(0, "one"), (1, "two")]


def test_rows_are_numbered_through_all_inputs(tmp_path: Path) -> None:
    first = write(tmp_path, "a.txt", "one\ntwo\n")
    second = write(tmp_path, "b.jsonl", '{"text": "three"}\n')

    assert rows(first, second, "-", stdin=b"four\n") == [
        (0, "one"),
        (1, "two"),
        (2, "three"),
        (3, "four"),
    ]


def test_skipped_rows_keep_their_number(tmp_path: Path) -> None:
    """So that ids still point at the input's rows."""
    path = write(tmp_path, "a.txt", "one\n\n \t\ntwo\n")
    source = Source([path], Fields(skip_empty=True))

    assert [(row.id, row.text) for row in source.rows()] == [(0, "one"), (3, "two")]
    assert source.skipped == 2


def test_keep_carries_all_other_fields(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a", "key": 1, "tags": ["x"], "none": null}\n')
    (row,) = Source([path], Fields(id="key", keep=True)).rows()

    assert row.kept == {"text": "a", "tags": ["x"], "none": None}


def test_without_keep_nothing_is_carried(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", '{"text": "a", "more": 1}\n')
    (row,) = Source([path], Fields()).rows()

    assert row.kept == {}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.txt", "one\n\nthree\n", "a.txt:2: the text is empty; .*--skip-empty"),
        ("a.txt", "one\n \u3000\n", "a.txt:2: the text is empty"),
        ("a.jsonl", '{"text": "a"}\n{"body": "b"}\n', "a.jsonl:2: no field 'text', only body;"),
        ("a.jsonl", '{"text": "a"}\n{"text": 5}\n', "a.jsonl:2: 'text' is a number, not a string"),
        ("a.jsonl", '{"text": null}\n', "a.jsonl:1: 'text' is null, not a string"),
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "a.jsonl:2: not a JSON object"),
        ("a.jsonl", '["a"]\n', "a.jsonl:1: an array, not a JSON object"),
        ("a.jsonl", '{"text": "\\ud800"}\n', "a.jsonl:1: not a JSON object"),
        ("a.jsonl", "[" * 100_000 + "\n", "a.jsonl:1: not a JSON object"),
        ("a.csv", "text\na\n\n\nb,c\n", "a.csv:5: 2 values under 1 columns"),
        ("a.csv", "body,id\n", "a.csv:1: no field 'text', only body, id; --text-field"),
        ("a.csv", "text,text\na,b\n", "a.csv:1: two columns are named 'text'"),
        ("a.csv", 'text\na\n"open\n', "a.csv:3: not CSV"),
        ("a.csv", 'text\n"a"b\n', "a.csv:2: not CSV"),
        ("a.csv", 'text\n"a\nb"\n""\n', "a.csv:4: the text is empty"),
    ],
)
def test_a_bad_row_is_refused_with_file_and_line(
    tmp_path: Path, name: str, content: str, expected: str
) -> None:
    import re

    message = refusal(write(tmp_path, name, content))

    assert re.match(f"{re.escape(str(tmp_path))}/{expected}", message), message


@pytest.mark.parametrize("value", ["null", "true", "1.5", "[1]", "{}"])
def test_an_id_is_a_string_or_an_integer(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"text": "a", "id": {value}}}\n')

    assert "an id is a string or an integer" in refusal(path, id="id")


def test_a_missing_id_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "a.txt", "one\n")

    assert "a.txt:1: no field 'id', only text; --id-field" in refusal(path, id="id")


@pytest.mark.parametrize("name", ["id", "embedding"])
def test_a_kept_column_cannot_take_our_names(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "a.jsonl", f'{{"text": "a", "{name}": 1}}\n')

    assert f"cannot keep a column named {name!r}" in refusal(path, keep=True)


def test_kept_csv_columns_need_different_names(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,x,x\na,1,2\n")

    assert rows(path) == [(0, "a")]
    assert "two columns are named 'x'" in refusal(path, keep=True)


def test_no_message_holds_a_text(tmp_path: Path) -> None:
    for name, content in [
        ("a.jsonl", '{"text": "secret"\n'),
        ("a.jsonl", '{"text": ["secret"]}\n'),
        ("a.csv", "text\nsecret,secret\n"),
        ("a.csv", 'text\n"secret"secret\n'),
    ]:
        assert "secret" not in refusal(write(tmp_path, name, content))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("missing.txt", "there is no such file"),
        ("a.pdf", "files of texts end in .txt"),
        ("folder", "is a folder; name the files in it"),
    ],
)
def test_inputs_are_looked_at_before_anything_is_embedded(
    tmp_path: Path, name: str, expected: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.pdf").touch()

    with pytest.raises(BadInput, match=expected):
        Source([str(tmp_path / name)], Fields())


def test_standard_input_can_be_given_once() -> None:
    with pytest.raises(BadInput, match="twice"):
        Source(["-", "-"], Fields(), stdin=io.BytesIO())


def test_suffixes_may_be_in_capitals(tmp_path: Path) -> None:
    assert rows(write(tmp_path, "A.TXT", "one\n")) == [(0, "one")]


def test_counting_agrees_with_reading(tmp_path: Path) -> None:
    inputs = [
        write(tmp_path, "a.txt", "one\ntwo"),
        write(tmp_path, "b.jsonl", '{"text": "c"}\n'),
        write(tmp_path, "c.csv", "text\nd\ne\n"),
    ]
    source = Source(inputs, Fields())

    assert len(list(source.rows())) == source.count() == 5


def test_standard_input_cannot_be_counted() -> None:
    assert Source(["-"], Fields(), stdin=io.BytesIO(b"a\n")).count() is None


def test_the_output_is_not_an_input(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", "{}\n")

    with pytest.raises(BadInput, match="is an input"):
        Source([path], Fields()).require_other(tmp_path / "." / "a.jsonl")


def test_rows_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    """The mistake in the second row is met only when the second row is."""
    source = Source([write(tmp_path, "a.txt", "one\n\n")], Fields()).rows()

    assert next(source).text == "one"
    with pytest.raises(BadInput):
        next(source)


def test_a_named_pipe_is_read_once_and_never_counted(tmp_path: Path) -> None:
    path = tmp_path / "pipe.txt"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_text("one\n"))
    writer.start()
    source = Source([str(path)], Fields())

    assert source.count() is None
    assert [row.text for row in source.rows()] == ["one"]
    writer.join()
