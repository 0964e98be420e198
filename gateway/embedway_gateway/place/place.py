"""An endpoint that is open: what does it answer, for how many texts at once?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_gateway.layers.prompt import PromptTexts
from embedway_gateway.layers.timeout import Timeout
from embedway_gateway.leaf import Leaf, embedding_leaf
from embedway_gateway.likeness.measure import unit
from embedway_gateway.place.error import PlaceError
from embedway_gateway.place.here import Here, open_embedder
from embedway_gateway.place.option import input_type, number, prompts
from embedway_gateway.place.resolve import Resolved, local_prompts, resolve
from embedway_gateway.place.stored import Stored, Texts, open_stored
from embedway_gateway.place.syntax import Spec, parse
from embedway_gateway.place.telling import Telling
from embedway_gateway.survey.advice import is_foreign
from embedway_gateway.survey.ask import ask, recognise
from embedway_gateway.wire import Carrier, make_transport
from embedway_upstream import (
    EmbeddingError,
    EmbeddingRequest,
    EmbeddingResponse,
    Endpoint,
    OpenAI,
    Service,
    Upstream,
)
from embedway_upstream.credentials.renewal import Renewal
from embedway_upstream.embedding import InputType
from embedway_upstream.proxy import read_proxies

if TYPE_CHECKING:
    from embedway_local import VectorSpace

__all__ = ["Place", "opened"]

_AT_ONCE = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where texts can be embedded; `send` raises an `EmbeddingError`."""

    label: str
    model: str
    engine: str
    service: Service[EmbeddingRequest, EmbeddingResponse]
    max_inputs: int
    prompts: PromptTexts
    """What is put before a text here; the server may put more."""
    input_type: InputType = "document"
    dimensions: int | None = None
    is_local: bool = False
    """Whether the model runs in this process."""
    address: str = ""
    """Where it is called, and empty in this process."""
    precision: str = "fp32"
    """As it is stated."""
    told: Callable[[], str | None] = lambda: None
    """The fingerprint of its vector space, where one came with the last vectors."""
    stored: Stored | None = None
    """Vectors of a file, which `send` does not reach: no other text can be embedded."""

    async def send(
        self, texts: Sequence[str], *, input_type: InputType | None = None
    ) -> EmbeddingResponse:
        """One call; by default with the endpoint's own input type."""
        kind = input_type or self.input_type
        prompt = self.prompts.query if kind == "query" else self.prompts.document
        inputs = tuple(prompt + text for text in texts)
        # Nothing stands above a model in this process that would shorten its vectors.
        asked = self.dimensions if not self.is_local else None
        request = EmbeddingRequest(self.model, inputs, input_type=kind, dimensions=asked)
        response = await self.service.send(request)
        if asked == self.dimensions:
            return response
        return replace(response, vectors=unit(response.vectors[:, : self.dimensions]))


@asynccontextmanager
async def opened(
    written: str,
    *,
    engine: str = "openai",
    config: Path | None = None,
    texts: Texts | None = None,
) -> AsyncIterator[Place]:
    """
    The endpoint, until the block ends; of a file of vectors, those of `texts`.

    Raises `PlaceError` for what is wrongly written, `EmbeddingError`, `ConfigError` or
    `LocalError` for what cannot be had.
    """
    spec = parse(written)
    if spec.kind == "local":
        async with _local(spec, resolve(spec)) as place:
            yield place
        return
    if spec.kind == "file":
        yield await _of_file(spec, texts)
        return
    found = resolve(spec, engine=engine, config=config)
    transport = make_transport(read_proxies())
    leaf = embedding_leaf(found.item, found.model, found.credentials, transport)
    try:
        if leaf.endpoint is not None and spec.kind == "url":
            await Renewal(leaf.endpoint.credentials).ready()
            found = await _with_model(spec, found, leaf.endpoint, transport)
            leaf = embedding_leaf(found.item, found.model, found.credentials, transport)
        yield await _remote(spec, found, leaf, transport, engine)
    except EmbeddingError as error:
        if leaf.endpoint is not None:
            await _advise(error, leaf.endpoint, found.item.engine, transport)
        raise
    finally:
        await transport.close()
        if leaf.local is not None:
            await leaf.local.close()


async def _of_file(spec: Spec, texts: Texts | None) -> Place:
    if texts is None:
        raise PlaceError(
            f"{spec.label} holds vectors, and cannot embed: only `embedway compare` takes it"
        )
    stored = await asyncio.to_thread(open_stored, spec, texts)
    return Place(
        label=spec.label,
        model="vectors of a file",
        engine="file",
        service=stored,
        max_inputs=_AT_ONCE,
        prompts=PromptTexts(),
        stored=stored,
    )


@asynccontextmanager
async def _local(spec: Spec, found: Resolved) -> AsyncIterator[Place]:
    embedder = await asyncio.to_thread(open_embedder, spec, found.model.name)
    space = embedder.space
    with embedder:
        yield Place(
            label=spec.label,
            model=found.model.name,
            engine="local",
            service=Here(spec.label, embedder),
            max_inputs=_AT_ONCE,
            is_local=True,
            prompts=prompts(spec, PromptTexts(space.query_prompt, space.document_prompt)),
            input_type=input_type(spec),
            dimensions=number(spec, "dimensions"),
            told=lambda: space.fingerprint,
        )


async def _remote(
    spec: Spec, found: Resolved, leaf: Leaf, transport: Carrier, engine: str
) -> Place:
    own = found.prompts
    space = None
    if leaf.local is not None:
        space = (await leaf.local.load()).space
        own = own or local_prompts(found.model, space)
    named = (spec.engine or engine) if spec.kind == "url" else found.item.engine
    service = leaf.service
    telling = None
    if leaf.endpoint is not None:
        endpoint = leaf.endpoint
        if named == "embedway":
            endpoint = replace(endpoint, engine=OpenAI(model=found.item.model, input_type=True))
        telling = Telling(endpoint)
        service = Upstream(telling, transport)
    return Place(
        label=spec.label,
        model=found.item.model or found.model.name,
        engine=named,
        service=Timeout(service, seconds=found.item.timeout, upstream=spec.label),
        max_inputs=min(leaf.max_inputs or _AT_ONCE, _AT_ONCE),
        is_local=leaf.local is not None,
        prompts=prompts(spec, own or PromptTexts()),
        input_type=input_type(spec),
        dimensions=number(spec, "dimensions"),
        address=found.item.url or "",
        precision=found.item.precision,
        told=partial(_told, space, telling),
    )


def _told(space: VectorSpace | None, telling: Telling | None) -> str | None:
    if space is not None:
        return space.fingerprint
    return None if telling is None else telling.vector_space


async def _with_model(
    spec: Spec, found: Resolved, endpoint: Endpoint, transport: Carrier
) -> Resolved:
    """The one model that the server has, where none is named."""
    if spec.name:
        return found
    told = await ask(endpoint, transport)
    names = told.facts.models
    if len(names) > 1:
        shown = ", ".join(names[:8])
        raise PlaceError(f"{spec.label} serves several models; write {spec.label}#MODEL: {shown}")
    if not names:
        return found
    item = found.item.model_copy(update={"model": names[0]})
    return replace(found, item=item)


async def _advise(
    error: EmbeddingError, endpoint: Endpoint, engine: str, transport: Carrier
) -> None:
    """Note the likely cure, where another engine than was named answers."""
    if error.detail:
        error.add_note(error.detail.splitlines()[0])
    if is_foreign(error):
        found, _ = await recognise(endpoint, transport)
        if found and found != engine:
            error.add_note(f"It answers as {found} does: write {found}+http… before its address.")
