"""What a configured model takes from the catalogue of known models, where it says nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedway_local.catalogue import KnownModel

__all__ = ["completed", "listed"]


def completed(values: Mapping[str, object]) -> dict[str, object]:
    """
    A model's mapping as the configuration has it, with what the catalogue is sure to know.

    Its dimensions, which are checked on every reply; and the prompts, where they are to be `auto`.
    A model with a local upstream is left as it is: its own files say both.
    """
    whole = dict(values)
    upstreams = _items(whole.get("upstreams"))
    if any(_field(item, "engine") == "local" for item in upstreams):
        return whole
    sizeless = whole.get("dimensions") is None and "embed" in _items(
        whole.get("capabilities", ("embed",))
    )
    if not sizeless and whole.get("prompts") != "auto":
        return whole
    model = listed(whole.get("name"), (_field(item, "model") for item in upstreams))
    if model is None or model.kind != "embed":
        return whole
    if sizeless and model.dimensions is not None:
        whole["dimensions"] = model.dimensions
    if whole.get("prompts") == "auto" and model.prompts is not None:
        whole["prompts"] = dict(model.prompts)
    return whole


def listed(name: object, served: Iterable[object]) -> KnownModel | None:
    """
    The known model of that name, or else the one that its upstreams call it.

    None where two of these names are of two known models: nobody can tell which is meant.
    """
    # Imported here: a configuration that says all has no need of the catalogue.
    from embedway_local.catalogue import known

    found = [known(item) for item in (name, *served) if isinstance(item, str)]
    models = {model.name: model for model in found if model is not None}
    return next(iter(models.values())) if len(models) == 1 else None


def _items(value: object) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _field(item: object, name: str) -> object:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)
