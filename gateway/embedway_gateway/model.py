"""A model as the gateway serves it: its names, its facts and its stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from embedway_gateway.cache.witness import Witness
from embedway_gateway.config.schema import ModelConfig
from embedway_gateway.declaration import declared
from embedway_gateway.layers.prompt import PromptTexts
from embedway_gateway.layers.reference import Mark, Reference
from embedway_gateway.layers.route import Target
from embedway_gateway.layers.space import SameSpace
from embedway_gateway.leaf import Leaf
from embedway_gateway.local import Local
from embedway_gateway.phase import Phases
from embedway_gateway.standing import Standing
from embedway_upstream import (
    EmbeddingRequest,
    EmbeddingResponse,
    RerankRequest,
    RerankResponse,
    Service,
    UnknownModel,
)
from embedway_upstream.chat import ChatReply, ChatRequest

if TYPE_CHECKING:
    from embedway_local import VectorSpace

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
    standing: Standing
    space: SameSpace | None = None

    @property
    def local(self) -> Local | None:
        """The local runtime, where this is one."""
        return self.leaf.local

    def problem(self, now: float) -> str:
        """Why it may not serve at this moment; empty when it may."""
        if self.local is not None and self.local.problem:
            return self.local.problem
        if self.leaf.reranker is not None and self.leaf.reranker.problem:
            return self.leaf.reranker.problem
        if self.leaf.hosted is not None and self.leaf.hosted.library.problem:
            return self.leaf.hosted.library.problem
        if self.space is not None and self.space.problem:
            return self.space.problem
        target = self.target
        if target.breaker.state(now) == "open":
            return "it failed, and rests: its circuit breaker is open"
        if target.patient_until > now:
            return f"it asked for patience, for {target.patient_until - now:.0f} s more"
        return ""


@dataclass(slots=True)
class Model:
    """What clients name, and what answers."""

    config: ModelConfig
    service: Service[EmbeddingRequest, EmbeddingResponse]
    upstreams: tuple[UpstreamState, ...]
    prompts: PromptTexts | None
    """As configured; None when the local model tells them."""
    phases: Phases
    """Where the time of its requests goes."""
    rerank: Service[RerankRequest, RerankResponse] | None = None
    """Where the model is declared to rerank."""
    chat: Service[ChatRequest, ChatReply] | None = None
    """Where it is declared to chat."""
    witness: Witness | None = None
    """Where its vectors are cached: when they may be."""
    reference: Reference | None = field(default=None, init=False, repr=False)
    """What its upstreams are compared with; None where there is nothing to compare."""
    _fingerprint: str | None = field(default=None, init=False, repr=False)
    _mark: Mark | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        spaces = (state.space for state in self.upstreams if state.space)
        self.reference = next((space.reference for space in spaces), None)

    @property
    def name(self) -> str:
        """The name in the configuration, not an alias."""
        return self.config.name

    @property
    def local(self) -> Local | None:
        """
        The local runtime, where it is one of the upstreams; of several, which may differ in
        precision, the one that defines the vector space.
        """
        locals_ = {state.name: state.local for state in self.upstreams if state.local}
        defining = "" if self.reference is None else self.reference.first.name
        return locals_.get(defining) or next(iter(locals_.values()), None)

    def scorer(self, upstream: str) -> str | None:
        """Who scores at the upstream of that name (see the configuration); None without one."""
        items = self.config.upstreams
        return next((item.scorer for item in items if item.name == upstream), None)

    @property
    def dimensions(self) -> int | None:
        """Of a full vector; None while a local model that would tell is not loaded."""
        if self.config.dimensions is not None:
            return self.config.dimensions
        local = self.local
        return local.facts.dimensions if local and local.facts else None

    @property
    def max_tokens(self) -> int | None:
        """Longer texts are cut, or refused, by the upstreams; None where nobody said."""
        local = self.local
        if local and local.facts:
            return local.facts.max_tokens
        return self.config.max_tokens

    @property
    def vector_space(self) -> str | None:
        """
        The fingerprint of the space that the vectors are in.

        A local model's own, where it defines the space. Else one of what the configuration
        declares, of who defined the space, and of how often that was seen to change. None while
        the local model is not loaded.
        """
        reference = self.reference
        mark = None if reference is None else reference.mark
        # Kept: it is a digest, and every answer shows it.
        if self._fingerprint is None or mark is not self._mark:
            self._fingerprint, self._mark = self._digested(), mark
        return self._fingerprint

    @property
    def strays(self) -> int:
        """How often an upstream had served, and was then found to be of another space."""
        return sum(state.space.strays for state in self.upstreams if state.space)

    @property
    def quarantined(self) -> dict[str, str]:
        """The upstreams that serve nothing because of their vectors, and why."""
        spaces = {state.name: state.space for state in self.upstreams if state.space}
        return {name: space.quarantined for name, space in spaces.items() if space.quarantined}

    def inherit(self, before: Model) -> None:
        """
        Go on with the space of the model as it was configured or found before, so that what its
        name means is not decided anew.
        """
        ours, theirs = self.reference, before.reference
        if ours is None or theirs is None or ours.first.lasting or theirs.first.lasting:
            return
        if declared(self.config) == declared(before.config):
            ours.inherit(theirs)

    def begin(self) -> None:
        """It is served from now on, and how its upstreams stand is told."""
        for state in self.upstreams:
            state.standing.begin()

    def retire(self, successor: Model | None) -> None:
        """It is served no more, and what becomes of its upstreams is told by the successor."""
        followers = {state.name: state for state in successor.upstreams} if successor else {}
        for state in self.upstreams:
            follower = followers.get(state.name)
            state.standing.end(followed=follower is not None)
            if state.space is not None:
                state.space.end(followed=follower is not None and follower.space is not None)
        if self.witness is not None:
            self.witness.end()

    def _digested(self) -> str | None:
        local, reference = self.local, self.reference
        if local is None or (reference is not None and not reference.first.lasting):
            return declared(self.config, Mark() if reference is None else reference.mark)
        if local.facts is None:
            return None
        space = local.facts.space
        prompts = self.own_prompts(space) if self.prompts is None else self.prompts
        space = replace(space, query_prompt=prompts.query, document_prompt=prompts.document)
        return space.fingerprint

    def own_prompts(self, space: VectorSpace) -> PromptTexts:
        """Those of the local model's own files; with `auto`, where there are none, the known."""
        known = self.config.known_prompts
        if known is None or space.query_prompt or space.document_prompt:
            return PromptTexts(space.query_prompt, space.document_prompt)
        return PromptTexts(known.query, known.document)

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
        self._found: list[Model] = []
        self._models: dict[str, Model] = {}
        self._names: dict[str, Model] = {}
        self._exchange()

    def discover(self, found: list[Model]) -> None:
        """Serve these beside those of the configuration, which win, and no others."""
        self._found = found
        self._exchange()

    def replace(self, models: list[Model]) -> None:
        """Serve these of a new configuration instead of those of the old one."""
        self._static = models
        self._exchange()

    def _exchange(self) -> None:
        # Built aside and exchanged at once: a request sees the old names or the new ones.
        names: dict[str, Model] = {}
        for model in (*self._found, *self._static):
            names.update(dict.fromkeys(model.config.aliases, model))
        models = {model.name: model for model in (*self._found, *self._static)}
        before, self._models, self._names = self._models, models, {**names, **models}
        for name, model in before.items():
            if models.get(name) is not model:
                model.retire(models.get(name))
        for name, model in models.items():
            if before.get(name) is not model:
                model.begin()

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
