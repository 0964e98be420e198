from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from embedway_gateway.bulk.error import OutputRefused, PartsDiffer
from embedway_gateway.bulk.lock import locked
from embedway_gateway.bulk.manifest import Manifest
from embedway_gateway.bulk.parts import Mode, Part, Parts

MANIFEST = Manifest(
    model="m",
    input_type="document",
    dimensions=None,
    batch_size=2,
    text_field="text",
    id_field=None,
    keep=False,
)
DIGEST = "0" * 32


def put(content: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_text(content)

    return write


def join(paths: list[Path], target: Path) -> None:
    target.write_text("".join(path.read_text() for path in paths))


def leave_parts(out: Path, *contents: str) -> None:
    with Parts.open(out, MANIFEST, "new") as parts:
        for index, content in enumerate(contents):
            parts.keep(index, 2, DIGEST, put(content))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


def test_parts_become_the_output_in_order_and_are_removed(out: Path) -> None:
    with Parts.open(out, MANIFEST, "new") as parts:
        for index in (1, 0, 2):
            parts.keep(index, 2, DIGEST, put(str(index)))
        parts.finish(join)

    assert out.read_text() == "012"
    assert [out] == list(out.parent.iterdir())


def test_parts_stay_until_they_are_merged(out: Path) -> None:
    leave_parts(out, "a", "b")

    with Parts.open(out, MANIFEST, "resume") as parts:
        assert [(part.rows, part.digest) for part in parts.finished.values()] == [
            (2, DIGEST),
            (2, DIGEST),
        ]
        parts.finish(join)

    assert out.read_text() == "ab"


def test_leftovers_are_refused_with_both_cures(out: Path) -> None:
    leave_parts(out, "a")

    with (
        pytest.raises(OutputRefused, match=r"out\.jsonl\.parts holds .*--resume .* --overwrite"),
        Parts.open(out, MANIFEST, "new"),
    ):
        pass
    with Parts.open(out, MANIFEST, "resume") as parts:
        assert len(parts.finished) == 1


def test_overwrite_discards_leftovers(out: Path) -> None:
    leave_parts(out, "a", "b")

    with Parts.open(out, MANIFEST, "overwrite") as parts:
        assert parts.finished == {}
        parts.keep(0, 2, DIGEST, put("new"))
        parts.finish(join)

    assert out.read_text() == "new"


@pytest.mark.parametrize("mode", ["new", "resume"])
def test_an_output_is_never_replaced_unasked(out: Path, mode: Mode) -> None:
    out.write_text("old")

    with (
        pytest.raises(OutputRefused, match="is there already; --overwrite"),
        Parts.open(out, MANIFEST, mode),
    ):
        pass
    assert [out] == list(out.parent.iterdir())


def test_an_output_stays_until_its_replacement_is_whole(out: Path) -> None:
    out.write_text("old")
    with Parts.open(out, MANIFEST, "overwrite") as parts:
        parts.keep(0, 2, DIGEST, put("new"))
    assert out.read_text() == "old"

    with Parts.open(out, MANIFEST, "resume") as parts:
        parts.finish(join)

    assert out.read_text() == "new"


def test_resume_without_leftovers_begins(out: Path) -> None:
    with Parts.open(out, MANIFEST, "resume") as parts:
        assert parts.finished == {}


def test_nothing_is_left_of_a_run_that_finished_nothing(out: Path) -> None:
    with pytest.raises(ZeroDivisionError), Parts.open(out, MANIFEST, "new"):
        raise ZeroDivisionError

    assert list(out.parent.iterdir()) == []


def test_a_half_written_part_does_not_count(out: Path) -> None:
    def broken(path: Path) -> None:
        path.write_text("hal")
        raise ZeroDivisionError

    with Parts.open(out, MANIFEST, "new") as parts:
        parts.keep(0, 2, DIGEST, put("a"))
        with pytest.raises(ZeroDivisionError):
            parts.keep(1, 2, DIGEST, broken)
    with Parts.open(out, MANIFEST, "resume") as parts:
        assert list(parts.finished) == [0]
        assert not list(parts.folder.glob("incoming-*"))


def test_a_part_is_on_the_disk_before_its_name_is(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could leave a part of zeros under a name that says it is finished."""
    events: list[str] = []
    rename = Path.replace

    def replace(path: Path, target: Path) -> Path:
        events.append(f"rename to {target.name.partition('-')[0]}")
        return rename(path, target)

    with Parts.open(out, MANIFEST, "new") as parts:
        monkeypatch.setattr(os, "fsync", lambda _: events.append("sync"))
        monkeypatch.setattr(Path, "replace", replace)
        parts.keep(0, 2, DIGEST, put("a"))
        assert events == ["sync", "rename to part", "sync"]


def test_a_part_that_was_not_noted_yet_is_kept(out: Path) -> None:
    """As when the user interrupts between the rename and the next statement."""

    class Interrupted(dict[int, Part]):
        def __setitem__(self, index: int, part: Part) -> None:
            raise KeyboardInterrupt

    with Parts.open(out, MANIFEST, "new") as parts:
        parts.finished = Interrupted()
        with pytest.raises(KeyboardInterrupt):
            parts.keep(0, 2, DIGEST, put("a"))

    with Parts.open(out, MANIFEST, "resume") as parts:
        assert parts.rows == 2


def test_other_peoples_files_stay(out: Path) -> None:
    folder = out.with_name("out.jsonl.parts")
    folder.mkdir()
    (folder / "thesis.txt").touch()

    with Parts.open(out, MANIFEST, "overwrite") as parts:
        parts.keep(0, 2, DIGEST, put("a"))
        parts.finish(join)

    assert [folder / "thesis.txt"] == list(folder.iterdir())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": "n"}, "--model: m then, n now"),
        ({"input_type": "query"}, "--input-type: document then, query now"),
        ({"batch_size": 3}, "--batch-size: 2 then, 3 now"),
        ({"dimensions": 5}, "--dimensions: not given then, 5 now"),
        ({"text_field": "body"}, "--text-field: text then, body now"),
        ({"id_field": "key"}, "--id-field: not given then, key now"),
        ({"keep": True}, "--keep: not given then, given now"),
        ({"format": 99}, "format of the parts: 1 then, 99 now"),
    ],
)
def test_a_difference_is_refused_by_name(
    out: Path, change: dict[str, object], expected: str
) -> None:
    import msgspec

    leave_parts(out, "a")
    other = msgspec.structs.replace(MANIFEST, **change)

    with (
        pytest.raises(PartsDiffer, match=f"begun with other options:\n  {expected}\n.*--overwrite"),
        Parts.open(out, other, "resume"),
    ):
        pass
    with Parts.open(out, MANIFEST, "resume") as parts:
        assert len(parts.finished) == 1


def test_what_became_known_is_remembered(out: Path) -> None:
    import msgspec

    with Parts.open(out, MANIFEST, "new") as parts:
        parts.note(msgspec.structs.replace(MANIFEST, vector_space="vs1-a", width=4))
        parts.keep(0, 2, DIGEST, put("a"))
    with Parts.open(out, MANIFEST, "resume") as parts:
        assert (parts.manifest.vector_space, parts.manifest.width) == ("vs1-a", 4)


def test_a_damaged_manifest_is_refused(out: Path) -> None:
    leave_parts(out, "a")
    (out.with_name("out.jsonl.parts") / "manifest.json").write_text("{}")

    with (
        pytest.raises(OutputRefused, match="not ours or of another version"),
        Parts.open(out, MANIFEST, "resume"),
    ):
        pass


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "a.npy").mkdir()

    with (
        pytest.raises(OutputRefused, match="is a folder"),
        Parts.open(tmp_path / "a.npy", MANIFEST, "overwrite"),
    ):
        pass


def test_the_outputs_folder_must_be_there(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputRefused, match="there is no such folder"),
        Parts.open(tmp_path / "no" / "a.npy", MANIFEST, "new"),
    ):
        pass


def test_a_disk_that_cannot_be_written_is_told_with_the_cure(out: Path) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    with (
        pytest.raises(OutputRefused, match=r"No space left on device.*--resume"),
        Parts.open(out, MANIFEST, "new") as parts,
    ):
        parts.keep(0, 2, DIGEST, full)


def test_two_runs_do_not_share_an_output(out: Path) -> None:
    with Parts.open(out, MANIFEST, "new") as parts:
        parts.keep(0, 2, DIGEST, put("a"))
        for mode in ("new", "resume", "overwrite"):
            with (
                pytest.raises(OutputRefused, match=f"another run .*process {os.getpid()}"),
                Parts.open(out, MANIFEST, mode),
            ):
                pass
        parts.finish(join)

    assert out.read_text() == "a"


def test_a_lock_that_cannot_be_made_is_told_with_the_cure(out: Path) -> None:
    """As in somebody else's folder; here something is in the way, which stops root, too."""
    (out.with_name("out.jsonl.parts") / "lock").mkdir(parents=True)

    with (
        pytest.raises(OutputRefused, match=r"lock: cannot be locked \(Is a directory\); make .*"),
        Parts.open(out, MANIFEST, "new"),
    ):
        pass


def test_a_file_system_without_locks_is_told_with_the_cure(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(handle: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)

    with (
        pytest.raises(OutputRefused, match=r"No locks available.*--out on a file system that has"),
        Parts.open(out, MANIFEST, "new"),
    ):
        pass


def test_a_killed_process_holds_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from embedway_gateway.bulk.lock import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with (
            pytest.raises(OutputRefused, match=f"process {process.pid}"),
            locked(path),
        ):
            pass
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        with locked(path):
            pass
    assert not path.exists()
