"""Keys are kept as digests, found by them, and end when they are to end."""

from __future__ import annotations

import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.keyed import Keys
from embedway_gateway.access import issue
from embedway_gateway.access.caller import patterns
from embedway_gateway.access.file import KeysError
from embedway_gateway.access.keyring import Keyring, Refused
from embedway_gateway.access.secret import make_secret, well_formed
from embedway_gateway.quota.allowance import Allowance


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path)


def ring(keys: Keys, at: float | None = None) -> Keyring:
    if at is None:
        return Keyring(keys.file.read())
    return Keyring(keys.file.read(), clock=lambda: at)


@given(st.integers(0, 2**256 - 1))
def test_a_secret_holds_all_of_its_random_bits_and_shows_what_it_is(number: int) -> None:
    secret = make_secret(lambda bits: number if bits == 256 else 0)

    assert len(secret) == 52
    assert secret.startswith("ew-")
    assert well_formed(secret)
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    value = 0
    for letter in secret[3:46]:
        value = value * 62 + alphabet.index(letter)
    assert value == number


@given(st.integers(3, 51), st.sampled_from("0Az"))
def test_a_secret_with_a_wrong_letter_is_not_well_formed(place: int, letter: str) -> None:
    secret = make_secret()
    spoiled = secret[:place] + letter + secret[place + 1 :]

    assert well_formed(spoiled) == (spoiled == secret)


@pytest.mark.parametrize("text", ["", "ew-", "sk-" + "a" * 49, "ew-" + "ä" * 49, "ew-" + "." * 49])
def test_other_words_are_not_well_formed(text: str) -> None:
    assert not well_formed(text)


def test_a_key_is_found_by_its_secret_and_nothing_else(keys: Keys) -> None:
    secret = keys.make("app", "bge-*", rpm=60)
    caller = ring(keys).find(secret.encode())

    assert caller.name == "app"
    assert [meter.limit for meter in caller.meters] == [60]
    for wrong in (secret[:-1], secret + "x", secret.lower(), "", keys.file.read()[0].sha256):
        with pytest.raises(Refused, match="Incorrect"):
            ring(keys).find(wrong.encode())


def test_the_file_holds_no_secret_and_is_for_its_owner_only(keys: Keys) -> None:
    secret = keys.make("app")
    text = keys.path.read_text()

    assert secret not in text
    assert secret[3:46] not in text
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    (key,) = keys.file.read()
    assert key.sha256 not in repr(key)
    assert key.sha256 not in repr(ring(keys))


def test_a_key_ends_to_the_second(keys: Keys) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    secret = keys.make("app", expires=end).encode()

    assert ring(keys, end.timestamp() - 1).find(secret).name == "app"
    with pytest.raises(Refused, match="expired"):
        ring(keys, end.timestamp()).find(secret)


def test_a_revoked_key_opens_no_more(keys: Keys) -> None:
    secret = keys.make("app")
    keys.revoke("app")

    with pytest.raises(Refused, match="revoked"):
        ring(keys).find(secret.encode())
    with pytest.raises(KeysError, match="revoked already"):
        keys.revoke("app")


def test_after_a_rotation_both_keys_open_until_the_overlap_ends(keys: Keys) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    limits = Allowance(rpm=5)
    _, old = issue.create(keys.file, name="app", allowance=limits, clock=lambda: now)
    day = timedelta(days=1)
    _, new = issue.rotate(keys.file, "app", overlap=day, clock=lambda: now)
    during, after = now.timestamp() + 3600, (now + day).timestamp()

    # Of one name: they share what the name may use.
    callers = [ring(keys, during).find(one.encode()) for one in (old, new)]
    assert callers[0] == callers[1]
    assert ring(keys, after).find(new.encode()).name == "app"
    with pytest.raises(Refused, match="expired"):
        ring(keys, after).find(old.encode())


def test_a_rotated_key_lasts_as_long_as_the_old_one_was_to(keys: Keys) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    month, day = timedelta(days=30), timedelta(days=1)
    issue.create(
        keys.file, name="app", allowance=Allowance(), expires=now + month, clock=lambda: now
    )
    key, _ = issue.rotate(keys.file, "app", overlap=day, clock=lambda: now + 5 * day)

    assert key.expires == now + 5 * day + month
    assert keys.file.read()[0].until == now + 6 * day


def test_an_overlap_never_makes_a_key_last_longer(keys: Keys) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    day = timedelta(days=1)
    issue.create(keys.file, name="app", allowance=Allowance(), expires=now + day, clock=lambda: now)
    issue.rotate(keys.file, "app", overlap=9 * day, clock=lambda: now)
    issue.rotate(keys.file, "app", overlap=3 * day, expires=now + 9 * day, clock=lambda: now)

    assert [key.until for key in keys.file.read()] == [now + day, now + day, now + 9 * day]


@pytest.mark.parametrize("life", [None, timedelta(days=90)])
def test_a_key_that_replaces_a_retiring_one_lasts_as_long_as_that_was_to(
    keys: Keys, life: timedelta | None
) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    day = timedelta(days=1)
    expires = None if life is None else now + life
    issue.create(keys.file, name="app", allowance=Allowance(), expires=expires, clock=lambda: now)
    leaked, _ = issue.rotate(keys.file, "app", overlap=day, clock=lambda: now)
    issue.revoke(keys.file, leaked.id, clock=lambda: now)
    later = now + timedelta(hours=1)
    new, _ = issue.rotate(keys.file, "app", overlap=day, clock=lambda: later)

    assert new.until == (None if life is None else later + life)
    first = keys.file.read()[0]
    assert (first.expires, first.until) == (expires, now + day)
    assert first.state(now + day) == "expired"


def test_a_name_has_one_valid_key(keys: Keys) -> None:
    keys.make("app")
    with pytest.raises(KeysError, match="rotate app"):
        keys.make("app")
    keys.revoke("app")
    keys.make("app")


def test_changes_at_the_same_moment_are_all_kept(keys: Keys) -> None:
    names = [f"app{number}" for number in range(12)]
    threads = [threading.Thread(target=keys.make, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert sorted(key.name for key in keys.file.read()) == sorted(names)


def test_a_change_keeps_who_may_read_the_file_and_nobody_who_may_write_it(keys: Keys) -> None:
    keys.make("app")
    keys.path.chmod(0o640)
    keys.make("other")

    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o640


def test_a_file_that_others_may_write_is_refused(keys: Keys) -> None:
    keys.make("app")
    keys.path.chmod(0o620)

    with pytest.raises(KeysError, match="chmod 600"):
        keys.file.read()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("keys: [{", "not YAML in line"),
        ("keys: [{id: abcd, name: a, sha256: planted, created: 2027-01-01}]", "keys[0].sha256"),
        ("keys: 5", "keys:"),
        ("keys: [{created: 2027-13-45}]", "not YAML"),
        ("keys: " + "[" * 5000, "not YAML"),
        ("kyes: []", "kyes"),
        ("keys: []\nkeys: []", "given twice"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place_and_without_values(
    keys: Keys, text: str, words: str
) -> None:
    keys.path.write_text(text)
    keys.path.chmod(0o600)

    with pytest.raises(KeysError) as caught:
        keys.file.read()

    assert words in str(caught.value)
    assert "planted" not in str(caught.value)


def test_dates_without_a_time_are_of_utc(keys: Keys) -> None:
    digest = "0" * 64
    dates = "created: 2027-01-01, expires: 2027-02-01"
    keys.path.write_text(f"keys: [{{id: abcd, name: a, sha256: '{digest}', {dates}}}]")
    keys.path.chmod(0o600)

    assert keys.file.read()[0].expires == datetime(2027, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("globs", "name", "fits"),
    [
        (("bge-*",), "bge-m3", True),
        (("bge-*",), "xbge-m3", False),
        (("bge-m3",), "bge-m3\nx", False),
        (("org/*",), "org/a/b", True),
        (("a.c",), "abc", False),
        ((), "a", False),
        (("*",), "anything", True),
    ],
)
def test_globs_are_of_whole_names(globs: tuple[str, ...], name: str, fits: bool) -> None:
    pattern = patterns(globs)

    assert (pattern is None or pattern.match(name) is not None) is fits


def test_of_keys_of_the_same_second_the_last_one_is_the_latest(keys: Keys) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    day = timedelta(days=1)
    issue.create(keys.file, name="app", allowance=Allowance(), clock=lambda: now)
    issue.rotate(keys.file, "app", overlap=day, clock=lambda: now)
    last, _ = issue.rotate(keys.file, "app", overlap=day, clock=lambda: now)

    assert last.expires is None


def test_a_rotation_to_a_key_that_is_over_already_changes_nothing(keys: Keys) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    issue.create(keys.file, name="app", allowance=Allowance(), clock=lambda: now)
    with pytest.raises(KeysError, match="expired already"):
        issue.rotate(
            keys.file,
            "app",
            overlap=timedelta(0),
            expires=now - timedelta(days=1),
            clock=lambda: now,
        )

    assert [key.expires for key in keys.file.read()] == [None]


def test_a_name_that_is_the_id_of_another_key_is_refused(keys: Keys) -> None:
    keys.make("app")
    taken = keys.file.read()[0].id
    with pytest.raises(KeysError, match="id of another key"):
        keys.make(taken)
