from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from embedway_gateway.bulk.error import BadInput, BadVectors, OutputRefused, PartsDiffer
from embedway_gateway.bulk.row import Fields
from embedway_upstream import BadVector, InvalidRequest, UpstreamFailed
from embedway_upstream.testing import fake_vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Report = Callable[[int, bool], None]


def texts(count: int) -> list[str]:
    return [f"text {index}" for index in range(count)]


def file_of(folder: Path, lines: Sequence[str], name: str = "in.txt") -> Path:
    path = folder / name
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")
    return path


def vectors_in(path: Path) -> NDArray[np.float32]:
    if path.suffix == ".npy":
        return np.load(path)
    if path.suffix == ".jsonl":
        lines = path.read_text().splitlines()
        return np.array([json.loads(line)["embedding"] for line in lines], np.float32)
    return np.array(pq.read_table(path).column("embedding").to_pylist(), np.float32)


def expected(lines: Sequence[str]) -> NDArray[np.float32]:
    return fake_vectors([f"document: {line}" for line in lines], 4)


@pytest.mark.parametrize("name", ["out.npy", "out.jsonl", "out.parquet"])
@pytest.mark.parametrize("count", [1, 3, 7, 9])
def test_every_text_gets_its_vector(
    tmp_path: Path, bulk: Any, encoder: Any, name: str, count: int
) -> None:
    run = bulk(tmp_path / name, [file_of(tmp_path, texts(count))])

    done = run(encoder)

    assert (count, 0, count) == (done.rows, done.resumed, done.tokens)
    assert np.array_equal(expected(texts(count)), vectors_in(tmp_path / name))
    assert set(encoder.embedded.values()) == {1}
    assert {"in.txt", name} == {path.name for path in tmp_path.iterdir()}


def test_order_is_kept_when_later_chunks_are_faster(
    tmp_path: Path, bulk: Any, make_encoder: Any, slow_first: Any
) -> None:
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(10))], batch_size=1, in_flight=4)

    run(make_encoder(before=slow_first))

    assert np.array_equal(expected(texts(10)), vectors_in(tmp_path / "out.npy"))


def test_a_slow_chunk_holds_up_no_other(tmp_path: Path, bulk: Any, make_encoder: Any) -> None:
    """The first is computed only when all others are kept; a worker may be starting again."""
    kept, others = [], threading.Event()

    def before(block: Sequence[str]) -> None:
        assert block[0] != texts(1)[0] or others.wait(10)

    def report(rows: int, fresh: bool) -> None:
        kept.append(rows)
        if len(kept) == 9:
            others.set()

    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(10))], batch_size=1, in_flight=2)
    run(make_encoder(before=before), report=report)

    assert np.array_equal(expected(texts(10)), vectors_in(tmp_path / "out.npy"))


def test_several_chunks_are_under_way_at_once(tmp_path: Path, bulk: Any, make_encoder: Any) -> None:
    """Three calls meet at a barrier, which only all three together can pass."""
    barrier = threading.Barrier(3)
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(6))], batch_size=1, in_flight=3)

    run(make_encoder(before=lambda _: barrier.wait(5)))

    assert np.array_equal(expected(texts(6)), vectors_in(tmp_path / "out.npy"))


def test_input_is_not_read_ahead_of_the_work(tmp_path: Path, bulk: Any, make_encoder: Any) -> None:
    """Memory is bounded by the chunks in flight, whatever the size of the input."""
    path = file_of(tmp_path, texts(30))
    read = []

    def report(rows: int, fresh: bool) -> None:
        read.append(len(made.calls))

    made = make_encoder()
    bulk(tmp_path / "out.npy", [path], batch_size=1, in_flight=2)(made, report=report)

    assert all(calls <= done + 2 for done, calls in enumerate(read))


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 25),
    size=st.integers(1, 8),
    stops=st.lists(st.integers(1, 4), max_size=3),
    name=st.sampled_from(["out.npy", "out.jsonl", "out.parquet"]),
)
def test_any_interruptions_lose_nothing_and_repeat_no_finished_chunk(
    *,
    bulk: Any,
    make_encoder: Any,
    interrupt_after: Any,
    interrupted: Any,
    count: int,
    size: int,
    stops: list[int],
    name: str,
) -> None:
    lines = [f"text {index} \u2028 é" for index in range(count)]
    with TemporaryDirectory() as place:
        out = Path(place) / name
        run = bulk(out, [file_of(Path(place), lines)], batch_size=size, in_flight=1)
        encoder = make_encoder()
        for stop in stops:
            with suppress(interrupted):
                run(encoder, "resume", interrupt_after(stop))
            if out.exists():
                break
        else:
            run(encoder, "resume")

        assert np.array_equal(expected(lines), vectors_in(out))
        assert set(encoder.embedded.values()) == {1}


def test_resumed_rows_are_reported_as_such(
    tmp_path: Path, bulk: Any, encoder: Any, interrupt_after: Any, interrupted: Any
) -> None:
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(10))], in_flight=1)
    with pytest.raises(interrupted):
        run(encoder, report=interrupt_after(2))
    seen: list[tuple[int, bool]] = []

    done = run(encoder, "resume", lambda rows, fresh: seen.append((rows, fresh)))

    assert seen == [(3, False), (3, False), (3, True), (1, True)]
    assert (done.rows, done.resumed, done.tokens) == (10, 6, 4)


def test_a_bad_row_costs_nothing_before_it(tmp_path: Path, bulk: Any, encoder: Any) -> None:
    """Corrected in place, the run goes on; nothing is embedded twice."""
    path = file_of(tmp_path, [*texts(7), "", *texts(9)[7:]])
    run = bulk(tmp_path / "out.npy", [path])
    with pytest.raises(BadInput, match=r"in\.txt:8: the text is empty"):
        run(encoder)
    assert set(texts(6)) == set(encoder.embedded)

    file_of(tmp_path, texts(9))
    run(encoder, "resume")

    assert np.array_equal(expected(texts(9)), vectors_in(tmp_path / "out.npy"))
    assert set(encoder.embedded.values()) == {1}


def test_what_was_computed_beside_a_failure_is_kept(
    tmp_path: Path, bulk: Any, make_encoder: Any
) -> None:
    def fail_once(batch: Sequence[str]) -> None:
        if "text 0" in batch and not made.embedded["failed"]:
            second.wait(5)
            made.embedded["failed"] = 1
            raise UpstreamFailed("it broke")
        second.set()

    second = threading.Event()
    made = make_encoder(before=fail_once)
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(6))])
    with pytest.raises(UpstreamFailed, match="it broke"):
        run(made)
    assert {"text 3", "text 4", "text 5", "failed"} == set(made.embedded)

    run(made, "resume")

    assert np.array_equal(expected(texts(6)), vectors_in(tmp_path / "out.npy"))
    assert set(made.embedded.values()) == {1}


def test_a_text_without_a_vector_is_named(tmp_path: Path, bulk: Any, make_encoder: Any) -> None:
    def lack(batch: Sequence[str]) -> None:
        if "text 4" in batch:
            raise BadVector("the upstream gave a vector of zeros", rows=[batch.index("text 4")])

    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))])
    with pytest.raises(BadVector) as caught:
        run(make_encoder(before=lack))

    assert [f"This was said of {tmp_path / 'in.txt'}:5."] == caught.value.__notes__


def test_a_refused_chunk_is_named(tmp_path: Path, bulk: Any, make_encoder: Any) -> None:
    def refuse(batch: Sequence[str]) -> None:
        if "text 4" in batch:
            raise InvalidRequest("too long")

    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))])
    with pytest.raises(InvalidRequest) as caught:
        run(make_encoder(before=refuse))

    place = tmp_path / "in.txt"
    assert [f"This was said of the rows from {place}:4 to {place}:6."] == caught.value.__notes__


def refused_run(run: Any, make_encoder: Any, *, refused: str, after: str) -> None:
    """Refuses the chunk of one text when that of another is under way, which is kept beside it."""
    under_way = threading.Event()

    def before(batch: Sequence[str]) -> None:
        if after in batch:
            under_way.set()
        if refused in batch:
            under_way.wait(10)
            raise InvalidRequest("too long")

    with pytest.raises(InvalidRequest, match="too long"):
        run(make_encoder(before=before))


def kept(out: Path) -> list[int]:
    return sorted(int(path.name.split("-")[1]) for path in Path(f"{out}.parts").glob("part-*"))


def test_a_refused_row_may_be_removed(tmp_path: Path, bulk: Any, make_encoder: Any) -> None:
    """Chunks behind it, which were kept, hold other rows then: they alone are embedded again."""
    out = tmp_path / "out.npy"
    run = bulk(out, [file_of(tmp_path, texts(12))])
    refused_run(run, make_encoder, refused="text 4", after="text 6")
    assert {0, 2} <= set(kept(out))

    lines = [text for text in texts(12) if text != "text 4"]
    file_of(tmp_path, lines)
    done = run(make_encoder(), "resume")

    assert (3, 11) == (done.resumed, done.rows)
    assert np.array_equal(expected(lines), vectors_in(out))


def test_so_may_more_rows_than_a_chunk_has(tmp_path: Path, bulk: Any, make_encoder: Any) -> None:
    out = tmp_path / "out.npy"
    run = bulk(out, [file_of(tmp_path, texts(6))])
    refused_run(run, make_encoder, refused="text 0", after="text 3")
    assert [1] == kept(out)

    file_of(tmp_path, texts(6)[3:])
    run(make_encoder(), "resume")

    assert np.array_equal(expected(texts(6)[3:]), vectors_in(out))


def test_another_input_costs_nothing_where_the_first_chunk_was_slow(
    tmp_path: Path, bulk: Any, make_encoder: Any
) -> None:
    """More is kept behind it than a refusal leaves, and nothing says that it is the same input."""
    out = tmp_path / "out.npy"
    run = bulk(out, [file_of(tmp_path, texts(30))])
    refused_run(run, make_encoder, refused="text 0", after="text 27")
    before = kept(out)
    assert set(range(1, 9)) <= set(before)

    file_of(tmp_path, [f"other {text}" for text in texts(30)])
    with pytest.raises(PartsDiffer, match=r"the rows from .*in\.txt:4"):
        run(make_encoder(), "resume")
    assert before == kept(out)

    file_of(tmp_path, texts(30))
    assert run(make_encoder(), "resume").resumed == 3 * len(before)
    assert np.array_equal(expected(texts(30)), vectors_in(out))


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["other", *texts(9)[1:]], r"the rows from .*in\.txt:1 to .*in\.txt:3 are not those"),
        ([*texts(5), "other", *texts(9)[6:]], r"the rows from .*in\.txt:4 to .*in\.txt:6"),
        (texts(2), r"the rows from .*in\.txt:1 to .*in\.txt:2"),
        (texts(3), r"the input ends after 1 chunks"),
        (texts(9)[::-1], r"the rows from .*in\.txt:1"),
    ],
)
def test_another_input_is_refused_before_anything_is_embedded(
    *,
    tmp_path: Path,
    bulk: Any,
    encoder: Any,
    interrupt_after: Any,
    interrupted: Any,
    lines: list[str],
    said: str,
) -> None:
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))], in_flight=1)
    with pytest.raises(interrupted):
        run(encoder, report=interrupt_after(2))
    file_of(tmp_path, lines)
    before = encoder.embedded.total()

    with pytest.raises(PartsDiffer, match=f"{said}.*--overwrite"):
        run(encoder, "resume")

    assert before == encoder.embedded.total()


def test_other_kept_values_are_another_input(
    tmp_path: Path, bulk: Any, encoder: Any, interrupt_after: Any, interrupted: Any
) -> None:
    def write(value: int) -> Path:
        lines = [f'{{"text": "{text}", "n": {value}}}' for text in texts(4)]
        return file_of(tmp_path, lines, "in.jsonl")

    run = bulk(tmp_path / "o.jsonl", [write(1)], in_flight=1, fields=Fields(keep=True))
    with pytest.raises(interrupted):
        run(encoder, report=interrupt_after(1))
    write(2)

    with pytest.raises(PartsDiffer):
        run(encoder, "resume")


def test_a_moved_or_renamed_input_is_the_same_input(
    tmp_path: Path, bulk: Any, encoder: Any, interrupt_after: Any, interrupted: Any
) -> None:
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))], in_flight=1)
    with pytest.raises(interrupted):
        run(encoder, report=interrupt_after(2))
    run.inputs = [run.inputs[0].rename(tmp_path / "renamed.txt")]

    assert run(encoder, "resume").resumed == 6


@pytest.mark.parametrize(
    ("changed", "said"), [({"dimensions": 5}, "5 numbers"), ({"vector_space": "vs1-b"}, "vs1-b")]
)
def test_another_vector_space_is_refused(
    *,
    tmp_path: Path,
    bulk: Any,
    encoder: Any,
    make_encoder: Any,
    interrupt_after: Any,
    interrupted: Any,
    changed: dict[str, Any],
    said: str,
) -> None:
    """As when a gateway's model was exchanged behind its name."""
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))], in_flight=1)
    with pytest.raises(interrupted):
        run(encoder, report=interrupt_after(1))

    with pytest.raises(BadVectors, match=f"{said}.*--overwrite"):
        run(make_encoder(**changed), "resume")


def test_an_untold_vector_space_matches_any_of_its_size(
    *,
    tmp_path: Path,
    bulk: Any,
    encoder: Any,
    make_encoder: Any,
    interrupt_after: Any,
    interrupted: Any,
) -> None:
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))], in_flight=1)
    with pytest.raises(interrupted):
        run(make_encoder(vector_space=None), report=interrupt_after(1))
    with pytest.raises(interrupted):
        run(encoder, "resume", interrupt_after(2))

    assert run(make_encoder(vector_space=None), "resume").rows == 9


class Other:
    """Another model of the same size, behind the same name."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def encode(self, batch: Sequence[str], *, input_type: str) -> Any:
        return self._encoder.encode([f"other {text}" for text in batch], input_type=input_type)


@pytest.mark.parametrize(("then", "now"), [(None, None), (None, "vs1-a"), ("vs1-a", None)], ids=str)
def test_an_untold_vector_space_does_not_hide_another_model(
    *,
    tmp_path: Path,
    bulk: Any,
    make_encoder: Any,
    interrupt_after: Any,
    interrupted: Any,
    then: str | None,
    now: str | None,
) -> None:
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))], in_flight=1)
    with pytest.raises(interrupted):
        run(make_encoder(vector_space=then), report=interrupt_after(1))

    with pytest.raises(BadVectors, match="--overwrite"):
        run(Other(make_encoder(vector_space=now)), "resume")

    assert not (tmp_path / "out.npy").exists()
    # Nothing of the other was kept: the right model goes on where it was.
    assert run(make_encoder(vector_space=then), "resume").resumed == 3
    assert np.array_equal(expected(texts(9)), vectors_in(tmp_path / "out.npy"))


@pytest.mark.parametrize("broken", [np.zeros((2, 4), np.float32), np.full((3, 4), np.nan)])
def test_vectors_are_counted_and_finite(
    tmp_path: Path, bulk: Any, encoder: Any, broken: NDArray[np.float32]
) -> None:
    right = encoder.encode

    def encode(batch: Sequence[str], *, input_type: str) -> Any:
        encoded = right(batch, input_type=input_type)
        encoded.vectors = broken
        return encoded

    encoder.encode = encode
    with pytest.raises(BadVectors, match="3 texts were sent"):
        bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(3))])(encoder)


def test_no_texts_are_refused(tmp_path: Path, bulk: Any, encoder: Any) -> None:
    with pytest.raises(BadInput, match="nothing to embed"):
        bulk(tmp_path / "out.npy", [file_of(tmp_path, [])])(encoder)

    assert [path.name for path in tmp_path.iterdir()] == ["in.txt"]


def test_an_interruption_while_merging_needs_no_encoder(
    tmp_path: Path, bulk: Any, encoder: Any, make_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise OSError(28, "No space left on device")

    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, texts(9))])
    with monkeypatch.context() as patch:
        patch.setattr("embedway_gateway.bulk.sink.NumPy.merge", stop)
        with pytest.raises(OutputRefused, match=r"No space left on device.*--resume"):
            run(encoder)
    idle = make_encoder()

    done = run(idle, "resume")

    assert (done.rows, done.resumed, done.tokens) == (9, 9, 0)
    assert idle.calls == []
    assert np.array_equal(expected(texts(9)), vectors_in(tmp_path / "out.npy"))


def test_the_input_type_reaches_the_encoder(tmp_path: Path, bulk: Any, encoder: Any) -> None:
    run = bulk(tmp_path / "out.npy", [file_of(tmp_path, ["a"])], options={"input_type": "query"})
    run(encoder)

    assert np.array_equal(fake_vectors(["query: a"], 4), vectors_in(tmp_path / "out.npy"))


def test_ids_and_kept_columns_reach_the_output(tmp_path: Path, bulk: Any, encoder: Any) -> None:
    lines = [f'{{"text": "{text}", "key": "k{text[-1]}", "n": 1}}' for text in texts(5)]
    path = file_of(tmp_path, lines, "in.jsonl")
    fields = Fields(id="key", keep=True)

    bulk(tmp_path / "out.parquet", [path], fields=fields)(encoder)

    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["id", "text", "n", "embedding"]
    assert [f"k{index}" for index in range(5)] == table.column("id").to_pylist()
    assert texts(5) == table.column("text").to_pylist()
    assert table.schema.metadata[b"embedway.vector_space"] == b"vs1-a"
