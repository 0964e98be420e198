"""Which passages, queries and judgements is a model measured on? Reads them as BEIR writes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from itertools import pairwise, zip_longest
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.line import lines, without_end
from embedway_gateway.evaluation.judgement import read_judgements

__all__ = ["Collection", "Entry", "Places", "entries", "find", "read_collection", "shipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The files: corpus and queries as .jsonl or .tsv, judgements as .tsv or in TREC's form."""

    corpus: Path
    queries: Path
    qrels: Path


@dataclass(frozen=True, slots=True)
class Entry:
    """A passage, its title before its text, or a query."""

    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Everything but the passages' texts, which are read again for each endpoint."""

    places: Places
    ids: tuple[str, ...]
    """Of the passages, in their order."""
    order: NDArray[np.int64]
    """Where each passage's id stands among all of them, sorted; it decides between equal scores."""
    empty: int
    """Passages without text, which nothing can find."""
    queries: Mapping[str, str]
    """Those that are judged, by id."""
    judgements: Mapping[str, Mapping[str, int]]
    """By query and passage; what is not named, 0 or less is not relevant."""
    missing: int
    """Passages that are judged relevant, and are not in the corpus."""
    unjudged: int
    """Queries without any judgement, which are left out."""

    def texts(self) -> Iterator[str]:
        """
        Of the passages, in their order; empty for those without. Raises `BadInput` where the corpus
        is not that which was read before: scores would be those of other passages.
        """
        pairs = zip_longest(self.ids, entries(self.places.corpus))
        for number, (name, entry) in enumerate(pairs, 1):
            if entry is None or entry.id != name:
                raise BadInput(
                    f"{self.places.corpus} was changed while it was read: passage {number:,} is "
                    "another; run again"
                )
            yield entry.text


class _Line(msgspec.Struct):
    id: str | int = msgspec.field(name="_id")
    text: str
    title: str | None = None


def find(
    folder: Path,
    split: str = "test",
    *,
    corpus: Path | None = None,
    queries: Path | None = None,
    qrels: Path | None = None,
) -> Places:
    """
    A folder's files as BEIR names them, but for those that are given. Raises `BadInput` where it
    has no judgements.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder}: there is no such folder")
    return Places(
        corpus=corpus or folder / "corpus.jsonl",
        queries=queries or folder / "queries.jsonl",
        qrels=qrels or _qrels(folder, split),
    )


def shipped() -> Places:
    """The small set that comes with the local runtime."""
    # As a file: the package is never imported from an archive, and stays where it is.
    with as_file(files("embedway_local") / "retrieval") as folder:
        return find(folder)


def read_collection(places: Places) -> Collection:
    """
    Reads all three files once, so that a mistake on the last line is told before hours of work.

    Raises `BadInput`, which names file and line.
    """
    judgements = read_judgements(places.qrels)
    every = _unique(places.queries)
    queries = {name: text for name, text in every.items() if name in judgements}
    if absent := judgements.keys() - every.keys():
        raise BadInput(
            f"{places.qrels} judges {len(absent):,} queries that {places.queries} does not have, "
            f"for example {min(absent)!r}; do the files belong together?"
        )
    if blank := next((name for name, text in queries.items() if not text), None):
        raise BadInput(f"{places.queries}: the query {blank!r} is empty; remove it")
    wanted = {name for scores in judgements.values() for name, value in scores.items() if value > 0}
    ids, empty = [], 0
    for entry in entries(places.corpus):
        ids.append(entry.id)
        empty += not entry.text
        wanted.discard(entry.id)
    relevant = sum(value > 0 for scores in judgements.values() for value in scores.values())
    if not ids or (wanted and len(wanted) >= relevant):
        raise BadInput(f"{places.corpus} has none of the passages that {places.qrels} judges")
    return Collection(
        places=places,
        ids=tuple(ids),
        order=_order(ids, places.corpus),
        empty=empty,
        queries=queries,
        judgements=judgements,
        missing=len(wanted),
        unjudged=len(every) - len(queries),
    )


def entries(path: Path) -> Iterator[Entry]:
    """Passages or queries one by one; .tsv has an id and a text a line."""
    if path.suffix not in {".jsonl", ".tsv"}:
        raise BadInput(f"{path}: passages and queries are in files that end in .jsonl or .tsv")
    read = _json if path.suffix == ".jsonl" else _tabbed
    try:
        with path.open("rb") as file:
            for number, line in lines(file, str(path)):
                if line.strip():
                    yield read(line, f"{path}:{number}")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error


def _qrels(folder: Path, split: str) -> Path:
    named = folder / "qrels" / f"{split}.tsv"
    if named.is_file():
        return named
    if there := ", ".join(sorted(path.stem for path in folder.glob("qrels/*.tsv"))):
        raise BadInput(f"{named}: there is no such file; --split is one of {there}")
    only = folder / "qrels.tsv"
    if not only.is_file():
        raise BadInput(f"{named}: there is no such file; name it with --qrels")
    return only


def _json(line: str, place: str) -> Entry:
    try:
        found = msgspec.json.decode(line, type=_Line)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BadInput(
            f"{place}: not a line of BEIR's form, which has `_id`, `text` and perhaps `title` "
            f"({error}); correct it"
        ) from None
    # With a space between, as BEIR and MTEB join them.
    return Entry(str(found.id), f"{found.title or ''} {found.text}".strip())


def _tabbed(line: str, place: str) -> Entry:
    name, tab, text = without_end(line).partition("\t")
    if not tab or not name.strip():
        raise BadInput(f"{place}: a line of a .tsv file is an id, a tab and a text; correct it")
    return Entry(name.strip(), text.strip())


def _unique(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for entry in entries(path):
        if entry.id in found:
            raise BadInput(f"{path}: the id {entry.id!r} is there twice; ids must be unique")
        found[entry.id] = entry.text
    return found


def _order(ids: list[str], path: Path) -> NDArray[np.int64]:
    by_id = sorted(range(len(ids)), key=ids.__getitem__)
    for left, right in pairwise(by_id):
        if ids[left] == ids[right]:
            raise BadInput(f"{path}: the id {ids[left]!r} is there twice; ids must be unique")
    order = np.empty(len(ids), np.int64)
    order[by_id] = np.arange(len(ids))
    return order
