"""What each package offers is what it says it offers."""

from __future__ import annotations

import ast
import importlib
import inspect
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = [
    "embedway_client",
    "embedway_deploy",
    "embedway_gateway",
    "embedway_local",
    "embedway_upstream",
    "langchain_embedway",
    "litellm_embedway",
    "mteb_embedway",
    "llama_index.embeddings.embedway",
    "llama_index.postprocessor.embedway",
]
MODULES = sorted(
    path
    for root in ("gateway", "integrations", "local_runtime")
    for path in (ROOT / root).rglob("*.py")
)


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: the order that ruff's RUF022 keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


@pytest.mark.parametrize("name", PACKAGES)
def test_names_are_sorted_and_there(name: str) -> None:
    package = importlib.import_module(name)

    assert package.__all__ == sorted(set(package.__all__), key=order)
    for public in package.__all__:
        assert getattr(package, public) is not None


@pytest.mark.parametrize("name", PACKAGES)
def test_no_other_name_shows(name: str) -> None:
    package = importlib.import_module(name)
    leaked = [
        public
        for public in dir(package)
        if not public.startswith("_")
        and public not in package.__all__
        # Submodules are attributes once they are imported; `from __future__` leaves a name too.
        and not isinstance(getattr(package, public), types.ModuleType)
        and public != "annotations"
    ]

    assert leaked == []


@pytest.mark.parametrize("name", PACKAGES)
def test_what_is_public_says_what_it_is(name: str) -> None:
    package = importlib.import_module(name)
    assert package.__doc__
    for public in package.__all__:
        value = getattr(package, public)
        if inspect.isclass(value) or inspect.isfunction(value):
            text = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
            # A dataclass without a docstring gets its signature for one.
            assert text, public
            assert not text.startswith(f"{public}("), public


@pytest.mark.parametrize("name", PACKAGES)
def test_public_methods_say_what_they_do(name: str) -> None:
    package = importlib.import_module(name)
    silent = [
        f"{public}.{method}"
        for public in package.__all__
        if inspect.isclass(value := getattr(package, public)) and not _is_protocol(value)
        for method, function in vars(value).items()
        if not method.startswith("_")
        and inspect.isfunction(function)
        and function.__module__.startswith(name.partition(".")[0])
        and not function.__doc__
    ]

    assert silent == []


def _is_protocol(value: type) -> bool:
    return bool(getattr(value, "_is_protocol", False))


def test_every_module_lists_its_names() -> None:
    """Whatever has a public class or function has an `__all__`, in order."""
    wrong = []
    for path in MODULES:
        tree = ast.parse(path.read_text("utf-8"))
        listed = next((_names(node) for node in tree.body if _assigns_all(node)), [])
        defines = any(
            isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and not node.name.startswith("_")
            for node in tree.body
        )
        if (defines and not listed) or listed != sorted(set(listed), key=order):
            wrong.append(path.relative_to(ROOT).as_posix())

    assert wrong == []


def _assigns_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets
    )


def _names(node: ast.stmt) -> list[str]:
    assert isinstance(node, ast.Assign)
    value = ast.literal_eval(node.value)
    assert isinstance(value, list)
    return value
