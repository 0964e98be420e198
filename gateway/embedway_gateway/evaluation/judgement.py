"""How relevant is a passage to a query? Reads judgements in BEIR's form and in TREC's."""

from __future__ import annotations

from pathlib import Path

from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.line import lines, without_end

__all__ = ["read_judgements"]


def read_judgements(path: Path) -> dict[str, dict[str, int]]:
    """
    By query and passage. BEIR's: query, passage and score, with tabs and a header; TREC's: query,
    anything, passage and score, with spaces or tabs. Raises `BadInput`, with the line.
    """
    found: dict[str, dict[str, int]] = {}
    try:
        with path.open("rb") as file:
            for number, line in lines(file, str(path)):
                if line.strip():
                    _take(found, without_end(line), number, path)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}") from error
    if not any(value > 0 for scores in found.values() for value in scores.values()):
        raise BadInput(f"{path} judges no passage relevant; there is nothing to measure")
    return found


def _take(found: dict[str, dict[str, int]], line: str, number: int, path: Path) -> None:
    # Ids with spaces are possible between tabs only.
    fields = line.split("\t")
    if len(fields) not in {3, 4}:
        fields = line.split()
    if len(fields) == 4:
        del fields[1]
    if len(fields) != 3:
        raise BadInput(
            f"{path}:{number}: a judgement is `query passage score`, with tabs (BEIR), or `query 0 "
            "passage score` (TREC); correct the line"
        )
    query, passage, score = (field.strip() for field in fields)
    try:
        value = int(score)
    except ValueError:
        if number == 1:
            return
        raise BadInput(
            f"{path}:{number}: a judgement is a whole number, 0 for not relevant; correct it"
        ) from None
    scores = found.setdefault(query, {})
    if scores.setdefault(passage, value) != value:
        raise BadInput(f"{path}:{number}: {query!r} and {passage!r} are judged twice, differently")
