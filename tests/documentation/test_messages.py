"""The messages that the page on troubleshooting quotes are those that the programs say."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
# Where whatever is said to a user about what he wrote, and about the way to a deployment, is made.
TOLD = (
    "gateway/embedway_gateway/config",
    "gateway/embedway_gateway/wire/trouble.py",
    "gateway/embedway_gateway/survey",
    "gateway/embedway_upstream/credentials",
    "gateway/embedway_upstream/platforms",
    "integrations/embedway_client",
)
# To whoever writes a program, and about it; each says what to do itself.
FOR_PROGRAMMERS = (
    "are not pickled",
    "is not pickled",
    "this Client is closed",
    "has no attribute",
    "at least 1 is needed",
    "refresh() comes first",
    "there is no token yet",
    "the platform has no signature for",
    "the URL or the content type has characters",
    # No messages: a header, and the policy that stands on the page as a block.
    "Signature algorithm=",
    "allow group <name>",
)

_QUOTED = re.compile(r"(?<!\*)\*([^*|\n]+)\*(?!\*)")
# What differs from one message to the next: numbers, names in quotes, and what the page leaves out.
_VARIABLE = re.compile(r"…|(?<!\w)'[^']*'|\b[\d.,]*\d\b|\btei\b|\b[a-z]{2}-[a-z]+-\d\b")


def _words(node: ast.expr) -> str | None:
    """The text that an expression surely has, with a gap for each part that varies."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
        return "".join(map(str, parts))
    return None


def texts_in(*places: str) -> Iterator[tuple[str, str]]:
    """Every text in the source, docstrings left out, and where it is."""
    for place in places:
        path = ROOT / place
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            tree = ast.parse(file.read_text("utf-8"))
            docs = {
                id(node.value)
                for node in ast.walk(tree)
                if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            }
            inner = {
                id(part)
                for node in ast.walk(tree)
                if isinstance(node, ast.JoinedStr)
                for part in node.values
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.expr) and id(node) not in docs | inner:
                    words = _words(node)
                    if words:
                        yield words, f"{file.relative_to(ROOT)}:{node.lineno}"


def quoted() -> list[str]:
    return _QUOTED.findall(PAGE.read_text("utf-8"))


def pieces(message: str) -> list[str]:
    """What stays of a message when what varies is left out."""
    return [piece.strip(" ,;:") for piece in _VARIABLE.split(message) if len(piece.strip(" ,")) > 3]


def test_every_quoted_message_is_in_the_source() -> None:
    source = "\n".join(
        _VARIABLE.sub("…", text).casefold()
        for text, _ in texts_in("gateway", "integrations", "local_runtime")
    )
    unknown = [
        f"{message}: {piece}"
        for message in quoted()
        for piece in pieces(message)
        if piece.casefold() not in source
    ]

    assert unknown == []
    assert len(quoted()) > 150


def test_every_message_about_configuration_credentials_and_deployments_is_on_the_page() -> None:
    # A word or two would be found in any message.
    known = [
        piece.casefold()
        for message in quoted()
        for piece in pieces(message)
        if len(piece.split()) >= 3
    ]
    known += [words.casefold() for words in FOR_PROGRAMMERS]
    missing = [
        f"{place}: {text}"
        for text, place in texts_in(*TOLD)
        if _is_told(text) and not any(piece in text.casefold() for piece in known)
    ]

    assert missing == []


def _is_told(text: str) -> bool:
    """A sentence, and neither a noun that is put into one nor a pattern of others' words."""
    words = re.findall(r"[a-z]{2,}", text)
    is_noun = text.startswith(("the file with", "the service ", "the configuration file of"))
    return len(words) >= 6 and not is_noun and not re.search(r"\\[dwsb.]|\.\*|\(\?P|\[\^", text)
