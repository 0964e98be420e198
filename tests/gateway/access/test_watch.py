"""The file of keys as it is looked at: what is news, what is a mistake, and what was last good."""

from __future__ import annotations

from pathlib import Path

import pytest

from doubles.keyed import Keys
from embedway_gateway.access.file import KeysError
from embedway_gateway.access.watch import KeysWatch


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(tmp_path)
    keys.make("one")
    return keys


def names(watch: KeysWatch) -> list[str]:
    return [key.name for key in watch.keys]


def test_a_change_counts_once_it_is_the_same_in_two_looks(keys: Keys) -> None:
    watch = KeysWatch(keys.path)
    keys.make("two")

    assert watch.look() is None
    assert names(watch) == ["one"]
    assert [key.name for key in watch.look() or ()] == ["one", "two"]
    assert watch.look() is None
    assert watch.good == keys.path.read_bytes()


def test_what_cannot_be_used_is_told_once_and_what_was_good_stays(keys: Keys) -> None:
    watch = KeysWatch(keys.path)
    good = watch.good
    for spoil in (lambda: keys.path.write_text("keys: ["), keys.path.unlink):
        spoil()
        assert watch.look() is None
        with pytest.raises(KeysError):
            watch.look()
        assert [watch.look() for _ in range(3)] == [None] * 3
        assert (watch.good, names(watch)) == (good, ["one"])


def test_a_wrong_file_is_no_start_unless_it_was_good_before(keys: Keys) -> None:
    good = keys.path.read_bytes()
    keys.path.write_text("keys: [")
    with pytest.raises(KeysError, match="is not YAML"):
        KeysWatch(keys.path)

    watch = KeysWatch(keys.path, last=good)

    assert "is not YAML" in str(watch.refused)
    assert (watch.good, names(watch)) == (good, ["one"])
    assert [watch.look() for _ in range(3)] == [None] * 3
    keys.path.write_bytes(good)
    watch.look()
    assert [key.name for key in watch.look() or ()] == ["one"]


def test_a_file_that_is_right_counts_more_than_what_was_good_before(keys: Keys) -> None:
    before = keys.path.read_bytes()
    keys.make("two")

    watch = KeysWatch(keys.path, last=before)

    assert watch.refused is None
    assert names(watch) == ["one", "two"]


def test_a_file_that_others_may_write_is_wrong_whatever_is_in_it(keys: Keys) -> None:
    good = keys.path.read_bytes()
    keys.path.chmod(0o666)

    assert "can be written by others" in str(KeysWatch(keys.path, last=good).refused)
