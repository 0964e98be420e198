"""What does MTEB say of a model? Runs its tasks, in its own code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from embedway_gateway.place.error import PlaceError

__all__ = ["TaskScore", "find_tasks", "run_tasks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScore:
    """The main score of one task, in one split and subset, as MTEB has it."""

    task: str
    kind: str
    split: str
    subset: str
    measure: str
    score: float


class _Metadata(Protocol):
    name: str
    type: str
    main_score: str
    modalities: Sequence[str]


class Task(Protocol):
    """One of MTEB's."""

    metadata: _Metadata


class _Result(Protocol):
    task_name: str
    scores: dict[str, list[dict[str, object]]]


class _Results(Protocol):
    task_results: Sequence[_Result]


class _Library(Protocol):
    """`mteb` itself, as far as it is used; it is no dependency of the development tools."""

    def get_tasks(self, *, tasks: Sequence[str], languages: Sequence[str] | None) -> list[Task]: ...
    def get_benchmark(self, benchmark_name: str) -> Sequence[Task]: ...
    def evaluate(
        self,
        model: object,
        tasks: Sequence[Task],
        *,
        cache: object,
        overwrite_strategy: str,
        encode_kwargs: dict[str, object],
        show_progress_bar: bool,
    ) -> _Results: ...


def find_tasks(names: Sequence[str], benchmark: str | None, languages: Sequence[str]) -> list[Task]:
    """
    Those of the names, and those of the benchmark. Raises `PlaceError` for a name that MTEB does
    not have and for tasks that are not of texts, `ImportError` where it is not installed.
    """
    library = _library()
    try:
        found = list(library.get_benchmark(benchmark)) if benchmark else []
        if names:
            found += library.get_tasks(tasks=names, languages=languages or None)
    except (KeyError, ValueError) as error:
        raise PlaceError(f"MTEB: {error.args[0] if error.args else error}") from None
    foreign = [one.metadata.name for one in found if "text" not in one.metadata.modalities]
    if foreign:
        raise PlaceError(f"{', '.join(foreign)}: only tasks of texts can be run here")
    return found


def run_tasks(
    encoder: object, tasks: Sequence[Task], *, folder: Path | None, resume: bool, bar: bool
) -> Iterator[TaskScore]:
    """
    The scores, task by task as they are done. MTEB's own result files go into `folder`; with
    `resume`, what is there already is not run again. Raises `PlaceError` for data that cannot be
    had, and what the encoder and MTEB raise.
    """
    library = _library()
    cache = None
    if folder is not None:
        cache = import_module("mteb").ResultCache(cache_path=folder)
    for task in tasks:
        try:
            done = library.evaluate(
                encoder,
                [task],
                cache=cache,
                overwrite_strategy="only-missing" if resume else "always",
                encode_kwargs={"show_progress_bar": bar},
                show_progress_bar=bar,
            )
        except OSError as error:
            # What its libraries raise without a network, or for a data set that is gone.
            said = next(iter(str(error).splitlines()), type(error).__name__)
            raise PlaceError(
                f"MTEB could not load the data of {task.metadata.name}: {said}"
            ) from error
        for result in done.task_results:
            yield from _scores(task, result)


def _scores(task: Task, result: _Result) -> Iterator[TaskScore]:
    for split, subsets in result.scores.items():
        for one in subsets:
            yield TaskScore(
                task=result.task_name,
                kind=task.metadata.type,
                split=split,
                subset=str(one["hf_subset"]),
                measure=task.metadata.main_score,
                score=float(cast("float", one["main_score"])),
            )


def _library() -> _Library:
    return cast("_Library", import_module("mteb"))
