"""Reads the texts out of .txt, .jsonl, .csv and .parquet files, row by row, in constant memory."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

import msgspec

from embedway_gateway.bulk import parquet_source
from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.line import MAX_LINE_BYTES, count_lines, lines, without_end
from embedway_gateway.bulk.row import Fields, Row

__all__ = ["STDIN", "Source"]

STDIN = "-"

Record: TypeAlias = tuple[str, Mapping[str, object]]
"""Where a row stands, and its fields."""

# Names of our own columns, which a kept one may not take.
_RESERVED = ("id", "embedding")


class Source:
    """
    The rows of several inputs, one after the other; `-` is `stdin`, one text a line.

    Raises `BadInput` at once for an input that is missing or of an unknown kind, and while
    reading for a row that cannot be embedded.
    """

    def __init__(
        self, inputs: Sequence[str], fields: Fields, *, stdin: BinaryIO | None = None
    ) -> None:
        self._inputs = list(inputs)
        self._fields = fields
        self._stdin = stdin
        self.skipped = 0
        """Empty texts passed over so far."""
        if self._inputs.count(STDIN) > 1:
            raise BadInput("`-` is given twice; standard input can be read only once")
        for name in self._inputs:
            if name != STDIN:
                _require(Path(name))

    def require_other(self, out: Path) -> None:
        """Raises `BadInput` when `out` is one of the inputs."""
        for name in self._inputs:
            if name != STDIN and out.exists() and out.samefile(name):
                raise BadInput(f"{out} is an input; give another --out")

    def rows(self) -> Iterator[Row]:
        """Every row, in order."""
        number = 0
        for name in self._inputs:
            for place, record in self._records(name):
                row = self._row(place, record, number)
                number += 1
                if row is not None:
                    yield row

    def count(self) -> int | None:
        """About how many rows there are (quoted line breaks count as rows); None for a pipe."""
        if STDIN in self._inputs or not all(Path(name).is_file() for name in self._inputs):
            return None
        total = 0
        for name in self._inputs:
            path = Path(name)
            if path.suffix.lower() == ".parquet":
                total += parquet_source.count(path)
                continue
            with _opened(path) as file:
                total += count_lines(file) - (path.suffix.lower() == ".csv")
        return total

    def records(self) -> Iterator[Record]:
        """Every row's place and fields, whatever they are."""
        for name in self._inputs:
            yield from self._records(name)

    def _records(self, name: str) -> Iterator[Record]:
        if name == STDIN:
            assert self._stdin is not None
            yield from _txt(self._stdin, "stdin", self._fields)
            return
        path = Path(name)
        if path.suffix.lower() == ".parquet":
            yield from parquet_source.records(path, self._fields)
            return
        with _opened(path) as file:
            yield from _READERS[path.suffix.lower()](file, name, self._fields)

    def _row(self, place: str, record: Mapping[str, object], number: int) -> Row | None:
        fields = self._fields
        text = _field(record, fields.text, place, "--text-field")
        if not isinstance(text, str):
            raise BadInput(f"{place}: {fields.text!r} is {_kind(text)}, not a string")
        if not text.strip():
            if not fields.skip_empty:
                raise BadInput(
                    f"{place}: the text is empty; remove the row, or add --skip-empty to leave "
                    "out all such rows"
                )
            self.skipped += 1
            return None
        key = number if fields.id is None else _key(record, fields.id, place)
        kept = _kept(record, fields, place) if fields.keep else {}
        return Row(place=place, id=key, text=text, kept=kept)


def _txt(file: BinaryIO, name: str, fields: Fields) -> Iterator[Record]:
    for number, line in lines(file, name):
        yield f"{name}:{number}", {fields.text: without_end(line)}


def _jsonl(file: BinaryIO, name: str, _: Fields) -> Iterator[Record]:
    for number, line in lines(file, name):
        if not line.strip():
            continue
        place = f"{name}:{number}"
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise BadInput(f"{place}: not a JSON object ({error}); correct the line") from None
        if not isinstance(record, dict):
            raise BadInput(f"{place}: {_kind(record)}, not a JSON object; correct the line")
        yield place, record


def _csv(file: BinaryIO, name: str, fields: Fields) -> Iterator[Record]:
    # The library's own limit, 128 KiB, is less than one long text.
    csv.field_size_limit(MAX_LINE_BYTES)
    reader = csv.reader((line for _, line in lines(file, name)), strict=True)
    header: list[str] | None = None
    while True:
        place = f"{name}:{reader.line_num + 1}"
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise BadInput(f"{place}: not CSV ({error}); correct the row") from None
        if values is None:
            return
        if not values:
            continue
        if header is None:
            header = _header(values, place, fields)
        elif len(values) != len(header):
            raise BadInput(
                f"{place}: {len(values)} values under {len(header)} columns; correct the row, or "
                "put quotes around a text that holds a comma"
            )
        else:
            yield place, dict(zip(header, values, strict=True))


_READERS: Mapping[str, Callable[[BinaryIO, str, Fields], Iterator[Record]]] = {
    ".txt": _txt,
    ".jsonl": _jsonl,
    ".csv": _csv,
}


def _header(names: list[str], place: str, fields: Fields) -> list[str]:
    wanted = names if fields.keep else [fields.text, fields.id]
    for name in wanted:
        if name is not None and names.count(name) > 1:
            raise BadInput(f"{place}: two columns are named {name!r}; rename one")
    _field(dict.fromkeys(names), fields.text, place, "--text-field")
    return names


def _field(record: Mapping[str, object], name: str, place: str, option: str) -> object:
    if name in record:
        return record[name]
    there = ", ".join(record) or "nothing"
    raise BadInput(f"{place}: no field {name!r}, only {there}; {option} names another")


def _key(record: Mapping[str, object], name: str, place: str) -> int | str:
    value = _field(record, name, place, "--id-field")
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadInput(
            f"{place}: {name!r} is {_kind(value)}, but an id is a string or an integer; "
            "--id-field names another field, and without it the rows are numbered"
        )
    return value


def _kept(record: Mapping[str, object], fields: Fields, place: str) -> dict[str, object]:
    kept = {name: value for name, value in record.items() if name != fields.id}
    for name in _RESERVED:
        if name in kept:
            cure = "--id-field id takes it as the id" if name == "id" else "rename it"
            raise BadInput(f"{place}: --keep cannot keep a column named {name!r}; {cure}")
    return kept


def _kind(value: object) -> str:
    """What JSON calls it."""
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    names |= {dict: "an object", list: "an array"}
    return "null" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _require(path: Path) -> None:
    if path.is_dir():
        raise BadInput(f"{path} is a folder; name the files in it, for example {path}/*.txt")
    if not path.exists():
        raise BadInput(f"{path}: there is no such file")
    suffix = path.suffix.lower()
    if suffix not in _READERS and suffix != ".parquet":
        raise BadInput(
            f"{path}: files of texts end in .txt (one text a line), .jsonl, .csv or .parquet; "
            "`-` reads standard input, one text a line"
        )


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
