"""Reads retrieval sets in BEIR's layout, and scores a ranking of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

import numpy as np

from embedway_local.error import ModelCorrupt

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RetrievalSet", "ndcg", "read_retrieval_set", "shipped_set"]


class Folder(Protocol):
    """A path, or a folder inside of a package."""

    def joinpath(self, *names: str) -> Folder: ...
    def read_text(self, encoding: str) -> str: ...


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """Passages and queries by their id, and how relevant a passage is to a query."""

    corpus: Mapping[str, str]
    queries: Mapping[str, str]
    judgements: Mapping[str, Mapping[str, int]]
    """By query and passage; what is not named is not relevant."""


def shipped_set() -> RetrievalSet:
    """The small set that comes with the runtime; its README says how it was made."""
    return read_retrieval_set(files("embedway_local") / "retrieval")


def read_retrieval_set(folder: Folder) -> RetrievalSet:
    """
    Read `corpus.jsonl`, `queries.jsonl` and `qrels.tsv`; a passage's title goes before its text.

    Queries without judgements are left out, as BEIR does. Raises `ModelCorrupt` for a file that is
    not of this form or judges what is not there, `OSError` for one that cannot be read.
    """
    judgements: dict[str, dict[str, int]] = {}
    try:
        corpus = dict(map(_passage, _lines(folder, "corpus.jsonl")))
        queries = dict(map(_passage, _lines(folder, "queries.jsonl")))
        for line in _lines(folder, "qrels.tsv")[1:]:
            query, passage, score = line.split("\t")
            judgements.setdefault(query, {})[passage] = int(score)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelCorrupt(f"{folder}: not a retrieval set in BEIR's layout ({error!r})") from error
    for query, scores in judgements.items():
        if query not in queries or not scores.keys() <= corpus.keys():
            raise ModelCorrupt(f"{folder}: qrels.tsv judges {query!r} by texts that are not there")
    asked = {name: text for name, text in queries.items() if name in judgements}
    return RetrievalSet(corpus, asked, judgements)


def ndcg(
    found: RetrievalSet,
    queries: NDArray[np.float32],
    corpus: NDArray[np.float32],
    *,
    at: int = 10,
) -> float:
    """
    Mean nDCG of the first `at` passages by cosine; both arrays hold unit rows in the set's order.

    Gains are the judgements themselves, as trec_eval and BEIR count them.
    """
    names = list(found.corpus)
    order = np.argsort(-(queries @ corpus.T), axis=1, kind="stable")[:, :at]
    scores = []
    for row, query in zip(order, found.queries, strict=True):
        judged = found.judgements[query]
        ideal = _gain(sorted(judged.values(), reverse=True)[:at])
        gained = _gain([judged.get(names[place], 0) for place in row])
        scores.append(gained / ideal if ideal else 0.0)
    return float(np.mean(scores))


def _gain(relevances: list[int]) -> float:
    return sum(value / math.log2(place + 2) for place, value in enumerate(relevances))


def _lines(folder: Folder, name: str) -> list[str]:
    return [line for line in folder.joinpath(name).read_text("utf-8").split("\n") if line.strip()]


def _passage(line: str) -> tuple[str, str]:
    value = json.loads(line)
    title, text = value.get("title", ""), value["text"]
    return str(value["_id"]), f"{title} {text}".strip()
