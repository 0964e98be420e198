"""Reads YAML, finds a key that is there twice, and says what is wrong without showing a value."""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml
from yaml.constructor import ConstructorError
from yaml.parser import ParserError

__all__ = ["read_yaml", "told"]

_MERGE = "tag:yaml.org,2002:merge"
# Of the file's own text, all that a message quotes; `:` alone is what the parser misses.
_QUOTED = re.compile(r"(?:,? but found)? (?!':')(['\"]).*\1")


def read_yaml(text: str) -> tuple[object, list[str]]:
    """
    The values, and a sentence for each key that is given twice. Raises `yaml.YAMLError`, whose own
    words may hold a secret: `told` has others.
    """
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, []
        problems = list(_doubled(root, "", set()))
        return loader.construct_document(root), problems
    finally:
        loader.dispose()


def told(error: yaml.YAMLError) -> str:
    """What is wrong and where, in words that hold nothing of the file's."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return f"not YAML: {type(error).__name__}"
    mark = error.problem_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    said = str(error.problem)
    # What a parser quotes are the names of its tokens, but for a tag's handle.
    if isinstance(error, ParserError) and "tag handle" not in said:
        return f"{place}not YAML: {said}"
    said, quoted = _QUOTED.subn("", said.replace("' '", "a blank"))
    advice = "; put the value in single quotes" if quoted else ""
    return f"{place}not YAML: {said}{advice}"


class _Loader(yaml.SafeLoader):
    """Whatever PyYAML raises for a value that is none, as of 30 February, is an error of YAML."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError):
            problem = (
                "it is taken for a date or a number, and is none; put the value in single quotes"
            )
            raise ConstructorError(None, None, problem, node.start_mark) from None


def _doubled(node: yaml.Node, path: str, seen: set[int]) -> Iterator[str]:
    # An alias is the node that it stands for: told once, and not followed into itself.
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _doubled(item, f"{path}[{index}]", seen)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: dict[str, int] = {}
    for key, item in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
            continue
        place = f"{path}.{key.value}".lstrip(".")
        line = key.start_mark.line + 1
        if key.value in lines:
            yield f"{place}: is given twice, in lines {lines[key.value]} and {line}; keep one"
        lines.setdefault(key.value, line)
        yield from _doubled(item, place, seen)
