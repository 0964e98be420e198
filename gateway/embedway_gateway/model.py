"""A model as the gateway serves it: its names, its facts and its stack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from embedway_gateway.config.schema import ModelConfig, PromptConfig
from embedway_gateway.layers.prompt import PromptTexts
from embedway_gateway.layers.route import Target
from embedway_gateway.layers.space import SameSpace
from embedway_gateway.leaf import Leaf
from embedway_gateway.local import Local
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    Service,
    UnknownModel,
)

__all__ = ["Model", "Models", "UpstreamState"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamState:
    """One upstream of a model, for those who look: readiness, the model list, `check`."""

    name: str
    engine: str
    priority: int
    service: Service[EmbeddingRequest, EmbeddingResponse]
    target: Target[EmbeddingRequest, EmbeddingResponse]
    leaf: Leaf
    space: SameSpace | None = None

    @property
    def local(self) -> Local | None:
        """The in-process runtime, where this is one."""
        return self.leaf.local

    def problem(self, now: float) -> str:
        """Why it may not serve at this moment; empty when it may."""
        if self.local is not None and self.local.problem:
            return self.local.problem
        if self.space is not None and self.space.problem:
            return self.space.problem
        if self.target.resting_until > now:
            return "it failed lately, and rests"
        return ""


@dataclass(slots=True)
class Model:
    """What clients name, and what answers."""

    config: ModelConfig
    service: Service[EmbeddingRequest, EmbeddingResponse]
    upstreams: tuple[UpstreamState, ...]
    prompts: PromptTexts | None
    """As configured; None when the local model tells them."""
    rerank: Service[RerankRequest, RerankResponse] | None = None
    """Where the model is declared to rerank."""
    _fingerprint: str | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """The name in the configuration, not an alias."""
        return self.config.name

    @property
    def local(self) -> Local | None:
        """The in-process runtime, where it is one of the upstreams."""
        return next((state.local for state in self.upstreams if state.local), None)

    @property
    def dimensions(self) -> int | None:
        """Of a full vector; None while a local model that would tell is not loaded."""
        if self.config.dimensions is not None:
            return self.config.dimensions
        local = self.local
        return local.embedder.dimensions if local and local.embedder else None

    @property
    def max_tokens(self) -> int | None:
        """Longer texts are cut, or refused, by the upstreams; None where nobody said."""
        local = self.local
        if local and local.embedder:
            return local.embedder.max_tokens
        return self.config.max_tokens

    @property
    def vector_space(self) -> str | None:
        """
        The fingerprint of the space that the vectors are in.

        A local model's own, which other upstreams must match before they serve. Without one, of
        what the configuration declares. None while the local model is not loaded.
        """
        # Kept: it is a digest, and every answer shows it.
        if self._fingerprint is None:
            self._fingerprint = self._digested()
        return self._fingerprint

    def _digested(self) -> str | None:
        local = self.local
        if local is None:
            return _declared(self.config)
        if local.embedder is None:
            return None
        space = local.embedder.space
        if self.prompts is not None:
            space = replace(
                space, query_prompt=self.prompts.query, document_prompt=self.prompts.document
            )
        return space.fingerprint

    def problems(self, now: float) -> list[str]:
        """Why the model is not ready, one sentence an upstream; empty when one may serve."""
        found = [(state.name, state.problem(now)) for state in self.upstreams]
        if any(not problem for _, problem in found):
            return []
        return [f"{name}: {problem}" for name, problem in found]


class Models(Mapping[str, Model]):
    """The models by name; an alias finds its model too."""

    def __init__(self, models: list[Model]) -> None:
        self._static = models
        self._models: dict[str, Model] = {}
        self._names: dict[str, Model] = {}
        self.discover([])

    def discover(self, found: list[Model]) -> None:
        """Serve these beside those of the configuration, which win, and no others."""
        # Built aside and exchanged at once: a request sees the old names or the new ones.
        names: dict[str, Model] = {}
        for model in (*found, *self._static):
            names.update(dict.fromkeys(model.config.aliases, model))
        models = {model.name: model for model in (*found, *self._static)}
        self._models, self._names = models, {**names, **models}

    def __getitem__(self, name: str) -> Model:
        return self._names[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def find(self, name: str) -> Model:
        """The model; `UnknownModel` names those that are known."""
        model = self._names.get(name)
        if model is None:
            known = ", ".join(self._models) or "none yet"
            shown = name if len(name) <= 100 else f"{name[:100]}…"
            raise UnknownModel(
                f"The model {shown!r} does not exist here. Known models: {known}.",
                param="model",
                code="model_not_found",
            )
        return model


def _declared(config: ModelConfig) -> str:
    prompts = config.prompts
    facts = {
        "name": config.name,
        "dimensions": config.dimensions,
        "max_tokens": config.max_tokens,
        "prompts": prompts.model_dump() if isinstance(prompts, PromptConfig) else None,
    }
    text = json.dumps(facts, sort_keys=True)
    return f"vs1d-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
