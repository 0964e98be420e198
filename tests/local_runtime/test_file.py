import threading
import time
from pathlib import Path

import pytest

from embedway_local import LocalError
from embedway_local.file import alone, aside, digest, known_digest, write_text

ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    with alone(target), aside(target) as work:
        (work / "file").write_text("x")
        assert not target.exists()

    assert ["file"] == names(target)
    assert [] == [path.name for path in target.parent.iterdir() if path.name.startswith(".inc")]


def test_after_an_error_nothing_is_left_and_what_was_there_stays(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.mkdir()
    (target / "old").touch()

    def interrupted() -> None:
        with alone(target), aside(target) as work:
            (work / "new").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert ["old"] == names(target)
    assert {"b", ".b.lock"} >= set(names(tmp_path))


def test_a_folder_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "b"
    target.mkdir()
    (target / "old").touch()

    with alone(target), aside(target) as work:
        (work / "new").touch()

    assert ["new"] == names(target)


def test_what_a_killed_process_left_is_removed_and_a_longer_names_work_is_not(
    tmp_path: Path,
) -> None:
    longer = aside(tmp_path / "b-more")
    other = longer.__enter__()
    killed = tmp_path / other.name.replace("-more", "")
    killed.mkdir()

    with alone(tmp_path / "b"), aside(tmp_path / "b"):
        assert not killed.exists()
        assert other.is_dir()

    longer.__exit__(None, None, None)
    assert (tmp_path / "b-more").is_dir()


def test_of_two_threads_the_second_waits(tmp_path: Path) -> None:
    order: list[str] = []

    def slowly() -> None:
        with alone(tmp_path / "x"):
            order.append("in")
            time.sleep(0.03)
            order.append("out")

    threads = [threading.Thread(target=slowly) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert ["in", "out"] * 4 == order


def test_a_file_in_the_way_names_the_cure(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(LocalError, match="set EMBEDWAY_HOME"), alone(tmp_path / "file" / "x"):
        pass


def test_a_text_is_written_whole_and_readable_by_others(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a", "äö")

    assert "äö" == (tmp_path / "new" / "a").read_text("utf-8")
    assert 0o644 == (tmp_path / "new" / "a").stat().st_mode & 0o777
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "new" / "a", "\ud800")
    assert ["a"] == names(tmp_path / "new")


def test_a_digest_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("abc")
    assert ABC == digest(path) == known_digest(path, tmp_path) == known_digest(path, tmp_path)
    path.write_text("abcd")

    assert digest(path) == known_digest(path, tmp_path) != ABC


def test_a_digest_that_cannot_be_remembered_is_still_right(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")

    assert ABC == known_digest(tmp_path / "file", tmp_path / "file")
