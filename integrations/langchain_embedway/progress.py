"""Shows a bar while texts are embedded, where that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

__all__ = ["progress_bar"]


@contextmanager
def progress_bar(texts: Sequence[str], *, shown: bool) -> Iterator[Callable[[int], None] | None]:
    """What is to be told how many texts are done anew; None where nothing is shown."""
    if not shown:
        yield None
        return
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{error.name} is missing; for show_progress_bar: pip install "embedway[langchain]"',
            name=error.name,
        ) from error
    with tqdm(total=len(texts), unit="text", desc="Embedding") as bar:

        def advance(texts: int) -> None:
            bar.update(texts)

        yield advance
