"""`embedway eval retrieval`: how well do endpoints find passages?"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from embedway_gateway.cli.compare import waiting
from embedway_gateway.cli.endpoint import ENDPOINTS, Config, Engine, refused_as
from embedway_gateway.cli.eval_shown import as_json, show

if TYPE_CHECKING:
    from embedway_gateway.evaluation.collection import Collection, Places
    from embedway_gateway.evaluation.measure import Measure
    from embedway_gateway.evaluation.report import Report
    from embedway_gateway.evaluation.retrieve import Run

__all__ = ["retrieval"]

_MEASURES = "ndcg@10,recall@10,recall@100,mrr@10,map@100,hits@1"


def retrieval(
    endpoints: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ENDPOINT]...", help="One or several; `local` by default."),
    ] = None,
    *,
    data: Annotated[
        Path | None,
        typer.Option("--data", "-d", help="A folder in BEIR's form; by default the shipped set."),
    ] = None,
    split: Annotated[str, typer.Option(help="Of the folder's `qrels/`.")] = "test",
    corpus: Annotated[
        Path | None, typer.Option(help="Passages instead of the folder's: .jsonl or .tsv.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help="Queries instead of the folder's: .jsonl or .tsv.")
    ] = None,
    qrels: Annotated[
        Path | None, typer.Option(help="Judgements instead of the folder's, BEIR's or TREC's.")
    ] = None,
    measures: Annotated[
        str, typer.Option(help="Any of ndcg, recall, mrr, map, precision and hits, @ any number.")
    ] = _MEASURES,
    rerank: Annotated[
        str | None,
        typer.Option(help="Put what is found into the order of this reranker, an endpoint."),
    ] = None,
    rerank_top: Annotated[
        int, typer.Option("--rerank-top", min=1, help="So many passages of each query.")
    ] = 100,
    drop_same_id: Annotated[
        bool,
        typer.Option("--drop-same-id", help="Queries are passages themselves: find others."),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the intervals and the tests.")] = 1,
    engine: Engine = "openai",
    config: Config = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results there; `-` prints them.")
    ] = None,
    per_query: Annotated[
        Path | None,
        typer.Option("--per-query", help="Write each query's scores and ranking there, .jsonl."),
    ] = None,
    png: Annotated[
        Path | None, typer.Option("--png", "--plot", help="Draw them there (extra `plot`).")
    ] = None,
) -> None:
    """Evaluate."""
    with refused_as(1):
        if png is not None:
            # Now, and not after an hour: it may not be installed.
            import embedway_gateway.picture  # noqa: F401
        wanted = _measures(measures)
        places = _places(data, split, corpus, queries, qrels)
        given = _Given(
            endpoints=tuple(endpoints or ("local",)),
            depth=max(rerank_top if rerank else 1, *(one.at for one in wanted)),
            reranker=rerank,
            rerank_top=rerank_top,
            drop_same_id=drop_same_id,
            engine=engine,
            config=config,
        )
        _require_writable([json_file, per_query, png])
        from embedway_gateway.evaluation.collection import read_collection
        from embedway_gateway.evaluation.report import report

        collection = read_collection(places)
        runs = asyncio.run(_runs(given, collection))
        told = report(collection, runs, wanted, seed=seed)
        settings = {"measures": list(map(str, wanted)), "seed": seed} | given.settings()
        written = as_json(told, settings)
        if str(json_file) == "-":
            typer.echo(written)
        else:
            show(told)
            _write(json_file, f"{written}\n")
        if per_query is not None:
            _write_rows(per_query, collection, runs, told)
        if png is not None:
            _draw(told, png)


retrieval.__doc__ = f"""
How well do endpoints find the passages that answer queries?

Embeds all passages and queries through each endpoint, told which is which, searches exactly by
cosine, and scores what was found against the judgements: nDCG, recall, MRR, MAP and hits, as
trec_eval and BEIR compute them. Each mean has an interval that holds 95 % of what other queries of
the kind would give; each further endpoint is compared with the first, query by query.

The files are BEIR's: `corpus.jsonl` and `queries.jsonl` (`_id`, `text`, `title`), `qrels/test.tsv`.
Without `--data` it measures the small set that comes along, offline.

{ENDPOINTS}

Examples:

`embedway eval retrieval local local:bge-small --png scores.png`

`embedway eval retrieval http://127.0.0.1:8080/v1 --data scifact --rerank tei+http://127.0.0.1:8082`
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    endpoints: tuple[str, ...]
    depth: int
    reranker: str | None
    rerank_top: int
    drop_same_id: bool
    engine: str
    config: Path | None

    def settings(self) -> dict[str, object]:
        """What the results depend on, besides endpoints and data."""
        top = self.rerank_top if self.reranker else None
        return {"rerank_top": top, "drop_same_id": self.drop_same_id}


def _measures(written: str) -> tuple[Measure, ...]:
    from embedway_gateway.evaluation.measure import parse_measures

    try:
        return parse_measures(written)
    except ValueError as error:
        raise typer.BadParameter(f"--measures: {error}") from None


def _places(
    data: Path | None, split: str, corpus: Path | None, queries: Path | None, qrels: Path | None
) -> Places:
    from embedway_gateway.evaluation.collection import Places, find, shipped

    if corpus is not None and queries is not None and qrels is not None:
        return Places(corpus=corpus, queries=queries, qrels=qrels)
    if data is None:
        if corpus or queries or qrels:
            raise typer.BadParameter(
                "--corpus, --queries and --qrels belong together; or add --data"
            )
        return shipped()
    return find(data, split, corpus=corpus, queries=queries, qrels=qrels)


async def _runs(given: _Given, collection: Collection) -> list[Run]:
    from embedway_gateway.evaluation.rerank import rerank
    from embedway_gateway.evaluation.retrieve import retrieve
    from embedway_gateway.place.place import opened
    from embedway_gateway.place.reranker import opened_reranker

    async with AsyncExitStack() as stack:
        places = [
            await stack.enter_async_context(
                opened(_told_both(one), engine=given.engine, config=given.config)
            )
            for one in given.endpoints
        ]
        reranker = None
        if given.reranker is not None:
            opening = opened_reranker(given.reranker, engine=given.engine, config=given.config)
            reranker = await stack.enter_async_context(opening)
        runs: list[Run] = []
        texts = len(collection.ids) + len(collection.queries)
        reranked = len(collection.queries) if reranker else 0
        with waiting((texts + reranked) * len(places)) as advance:
            for place in places:
                run = await retrieve(
                    place,
                    collection,
                    most=given.depth,
                    drop_same_id=given.drop_same_id,
                    advance=advance,
                )
                runs.append(run)
                if reranker is not None:
                    again = await rerank(
                        reranker, run, collection, most=given.rerank_top, advance=advance
                    )
                    runs.append(again)
        return runs


def _told_both(written: str) -> str:
    from embedway_gateway.place.error import PlaceError
    from embedway_gateway.place.syntax import parse

    spec = parse(written)
    if "input_type" in spec.options:
        raise PlaceError(
            f"{spec.label}: input_type= has no place here, queries and passages are told apart; "
            "for a server that cannot be told, write query_prompt= and document_prompt="
        )
    return written


def _require_writable(paths: Sequence[Path | None]) -> None:
    """Now, and not after hours."""
    from embedway_gateway.place.error import PlaceError

    for path in paths:
        if path is not None and str(path) != "-" and not path.parent.is_dir():
            raise PlaceError(f"{path} cannot be written: there is no folder {path.parent}")


def _write(path: Path | None, text: str) -> None:
    from embedway_gateway.place.error import PlaceError

    if path is None:
        return
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise PlaceError(f"{path} cannot be written: {error.strerror}") from error


def _write_rows(path: Path, collection: Collection, runs: Sequence[Run], told: Report) -> None:
    from embedway_gateway.evaluation.report import rows

    found = rows(collection, runs, told)
    _write(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in found))


def _draw(told: Report, path: Path) -> None:
    from embedway_gateway.picture import scores

    bars = {
        f"{number}: {result.label}": {name: asdict(one) for name, one in result.scores.items()}
        for number, result in enumerate(told.results, 1)
    }
    scores(bars, path)
