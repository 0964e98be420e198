"""Lists the model deployments of one OCI compartment that the gateway can call."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlencode

from embedway_gateway.discovery.classify import Hint, Served, ambiguous, classify
from embedway_gateway.discovery.deployment import SERVING, Deployment, read_deployment
from embedway_gateway.discovery.exchange import Exchange
from embedway_gateway.discovery.field import entries, parse, table, text, texts
from embedway_gateway.discovery.found import Found
from embedway_gateway.discovery.oci_error import explain
from embedway_gateway.discovery.recognise import capability_of_task, engine_of_image
from embedway_gateway.discovery.served import ask_served
from embedway_upstream import BadReply, Credentials, EmbeddingError, Transport, UpstreamRefused

__all__ = ["OCISource"]

_log = logging.getLogger("embedway.discovery")

_PAGE = 100
# 100 pages are 10,000 deployments; a server that never ends its list is broken.
_MAX_PAGES = 100
# What a deployment serves is asked again this often, and whenever its facts change.
_SERVED_SECONDS = 600.0
# At once: a tenancy is allowed 150 requests a second for all that it does.
_AT_ONCE = 8


class OCISource:
    """
    One compartment: the API lists no tree, so each compartment is a source, with an outage of its
    own. `endpoint` is what `control_plane` gives.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        compartment_id: str,
        credentials: Credentials,
        transport: Transport,
        name: str = "oci",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._endpoint = endpoint
        self._compartment = compartment_id
        self._exchange = Exchange(transport, credentials, explain, sleep=sleep)
        self._name = name
        self._clock = clock
        self._served: dict[str, tuple[float, Deployment, tuple[Served, ...]]] = {}
        self._hints: dict[str, Hint] = {}
        self._said: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        """For the log."""
        return self._name

    async def list(self) -> Sequence[Found]:
        """Every deployment that serves and can be called. Raises an `EmbeddingError`."""
        read = [one for item in await self._pages() if (one := self._read(item))]
        # By id: the list may shift between two pages.
        deployments = {one.id: one for one in read}
        gate = asyncio.Semaphore(_AT_ONCE)
        found = await asyncio.gather(*(self._found(one, gate) for one in deployments.values()))
        self._served = {key: value for key, value in self._served.items() if key in deployments}
        return [one for group in found for one in group]

    async def _pages(self) -> Sequence[object]:
        items = []
        page = ""
        for _ in range(_MAX_PAGES):
            query = {"compartmentId": self._compartment, "limit": str(_PAGE)}
            if page:
                query["page"] = page
            url = f"{self._endpoint}/modelDeployments?{urlencode(query)}"
            reply = await self._exchange.get(url)
            listed = parse(reply.body)
            if not isinstance(listed, list):
                raise BadReply("the control plane's reply is not a list of deployments")
            items += listed
            page = reply.headers.get("opc-next-page", "")
            if not page:
                return items
        raise BadReply("the control plane's list of deployments does not end")

    def _read(self, item: object) -> Deployment | None:
        if text(table(item).get("lifecycleState")) not in SERVING:
            return None
        try:
            return read_deployment(item)
        except ValueError as error:
            self._say(text(table(item).get("id")) or "an item without an id", str(error))
            return None

    async def _found(self, deployment: Deployment, gate: asyncio.Semaphore) -> Sequence[Found]:
        try:
            async with gate:
                hint = await self._hint(deployment) if ambiguous(deployment) else None
                found = classify(deployment, source=self._name, hint=hint)
                if deployment.models_path and any(_asks(one) for one in found):
                    served = await self._ask(deployment)
                    found = classify(deployment, source=self._name, hint=hint, served=served)
        except ValueError as error:
            self._say(deployment.id, str(error))
            return []
        return found

    async def _ask(self, deployment: Deployment) -> tuple[Served, ...]:
        since, facts, served = self._served.get(deployment.id, (float("-inf"), None, ()))
        now = self._clock()
        if facts == deployment and now - since < _SERVED_SECONDS:
            return served
        try:
            served = await ask_served(self._exchange, deployment)
        except EmbeddingError as error:
            # What was known stays known: a name must not change because of a lost answer.
            self._say(deployment.id, f"it does not say what it serves: {error.message}")
            if not isinstance(error, UpstreamRefused):
                return served
        self._served[deployment.id] = (now, deployment, served)
        return served

    async def _hint(self, deployment: Deployment) -> Hint:
        """What the catalogue's model is for; asked once, for it does not change."""
        if not deployment.model_id:
            return Hint()
        if deployment.model_id not in self._hints:
            try:
                reply = await self._exchange.get(f"{self._endpoint}/models/{deployment.model_id}")
            except EmbeddingError as error:
                self._say(deployment.id, f"its model cannot be read: {error.message}")
                return Hint()
            self._hints[deployment.model_id] = _model_hint(parse(reply.body))
        return self._hints[deployment.model_id]

    def _say(self, deployment: str, problem: str) -> None:
        """Each problem once, not every round."""
        if (deployment, problem) not in self._said:
            self._said.add((deployment, problem))
            facts = {"source": self._name, "deployment": deployment}
            _log.warning("discovery: %s", problem, extra={"facts": facts})


def _asks(found: Found) -> bool:
    # TEI has no /v1/models, and takes any name.
    return found.invoke == "suffix" and found.model is None and found.engine != "tei"


def _model_hint(model: object) -> Hint:
    tags = texts(table(model).get("freeformTags"))
    container = next(
        (
            text(table(one).get("value"))
            for one in entries(table(model).get("customMetadataList"))
            if text(table(one).get("key")) == "deployment-container"
        ),
        "",
    )
    engine = engine_of_image(container)
    capability = capability_of_task(tags.get("task", ""))
    if capability is None and engine == "tei":
        capability = "embed"
    return Hint(engine, capability)
