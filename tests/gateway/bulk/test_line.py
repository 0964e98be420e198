from __future__ import annotations

import io

import pytest

from embedway_gateway.bulk import line
from embedway_gateway.bulk.error import BadInput
from embedway_gateway.bulk.line import count_lines, lines, without_end


def read(content: bytes) -> list[str]:
    return [without_end(text) for _, text in lines(io.BytesIO(content), "a.txt")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"one\ntwo\n", ["one", "two"]),
        (b"one\ntwo", ["one", "two"]),
        (b"one\r\ntwo\r\n", ["one", "two"]),
        (b"\xef\xbb\xbfone\ntwo\n", ["one", "two"]),
        (b"one\n\ntwo\n", ["one", "", "two"]),
        (b"a\rb\n", ["a\rb"]),
        (b"", []),
        (b"\xef\xbb\xbf", []),
        ("a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\n".encode(), ["a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"]),
        ("猫\n🚀\n".encode(), ["猫", "🚀"]),
        (b"nul\x00l\n", ["nul\x00l"]),
        (b" two  spaces\t \n", [" two  spaces\t "]),
    ],
)
def test_only_a_line_feed_ends_a_line(content: bytes, expected: list[str]) -> None:
    assert expected == read(content)


def test_a_byte_order_mark_is_dropped_at_the_start_only() -> None:
    assert read("\ufeffone\n\ufefftwo\n".encode()) == ["one", "\ufefftwo"]


def test_what_is_not_utf8_is_refused_with_its_line() -> None:
    with pytest.raises(BadInput, match=r"^a\.txt:2: not UTF-8 \(byte 0xe9 at position 4\).*iconv"):
        read("one\ncafé\n".encode("latin1"))


def test_utf16_is_refused() -> None:
    with pytest.raises(BadInput, match=r"^a\.txt:1: not UTF-8"):
        read("one\n".encode("utf-16"))


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "MAX_LINE_BYTES", 8)

    assert read(b"x" * 7 + b"\n") == ["x" * 7]
    with pytest.raises(BadInput, match=r"^a\.txt:2: longer than"):
        read(b"short\n" + b"x" * 9)


@pytest.mark.parametrize("content", [b"", b"a", b"a\n", b"a\nb", b"a\n\nb\n", b"\n" * 5])
def test_counting_agrees_with_reading(content: bytes) -> None:
    assert len(read(content)) == count_lines(io.BytesIO(content))


def test_counting_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "_BLOCK", 3)

    assert count_lines(io.BytesIO(b"ab\ncd\nef\ng")) == 4
