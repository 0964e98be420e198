"""Reads YAML, and finds what it would take without a word: a key that is there twice."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

__all__ = ["read_yaml"]

_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(text: str) -> tuple[object, list[str]]:
    """The values, and a sentence for each key that is given twice. Raises `yaml.YAMLError`."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, []
        problems = list(_doubled(root, "", set()))
        return loader.construct_document(root), problems
    finally:
        loader.dispose()


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
