"""Lists the deployments of one scenario on SAP AI Core that the gateway can call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial
from types import MappingProxyType
from urllib.parse import quote, urlencode

from embedway_gateway.discovery.deployment import is_callable
from embedway_gateway.discovery.exchange import Exchange
from embedway_gateway.discovery.field import entries, moment, parse, table, text
from embedway_gateway.discovery.found import Capability, EngineName, Found
from embedway_gateway.discovery.recognise import engine_of_image
from embedway_gateway.precision import Precision
from embedway_upstream import BadReply, Credentials, EmbeddingError, Transport
from embedway_upstream.platforms.aicore import aicore_error

__all__ = ["AICoreSource"]

_log = logging.getLogger("embedway.discovery")

# The parameter `dtype` of our own template, in the server's words.
_PRECISIONS: Mapping[str, Precision] = MappingProxyType(
    {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16"}
)
# A parameter by which a template may let its user say which weights are deployed.
_REVISION = "embedwayRevision"
_PAGE = 100
_MAX_PAGES = 100


class AICoreSource:
    """
    The RUNNING deployments of a scenario whose configuration's name matches one of the patterns
    (`nomic-embed-text-*`; none: all). The model's name is the configuration's parameter
    `model_parameter`; `engine` is taken where the image does not tell, and what the models
    can do is not told at all: `capabilities` says it.
    """

    def __init__(
        self,
        *,
        api_url: str,
        resource_group: str,
        scenario_id: str,
        credentials: Credentials,
        transport: Transport,
        config_names: Sequence[str] = (),
        model_parameter: str = "modelName",
        engine: EngineName = "infinity",
        capabilities: frozenset[Capability] = frozenset({"embed"}),
        name: str = "aicore",
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = api_url.rstrip("/").removesuffix("/v2") + "/v2/lm"
        self._group = resource_group
        self._scenario = scenario_id
        self._patterns = tuple(config_names)
        self._parameter = model_parameter
        self._engine: EngineName = engine
        self._capabilities = capabilities
        self._name = name
        explain = partial(aicore_error, resource_group=resource_group)
        self._exchange = Exchange(transport, credentials, explain, sleep=sleep)
        self._configurations: dict[str, Mapping[str, object]] = {}
        self._said: set[tuple[str, str]] = set()

    @property
    def name(self) -> str:
        """For the log."""
        return self._name

    async def list(self) -> Sequence[Found]:
        """Every deployment that runs and can be called. Raises an `EmbeddingError`."""
        found = [await self._found(table(item)) for item in await self._pages()]
        return [one for one in found if one is not None]

    async def _pages(self) -> Sequence[object]:
        items: dict[str, object] = {}
        read = 0
        for _ in range(_MAX_PAGES):
            query = {"scenarioId": self._scenario, "status": "RUNNING"}
            query |= {"$top": str(_PAGE), "$skip": str(read)}
            reply = await self._get(f"/deployments?{urlencode(query, safe='$')}")
            listed = reply.get("resources")
            if not isinstance(listed, list):
                raise BadReply("AI Core's reply is not a list of deployments")
            before, read = len(items), read + len(listed)
            # By id: the list may shift between two pages.
            items |= {text(table(item).get("id")): item for item in listed}
            count = reply.get("count")
            # The server may give fewer at once than it is asked for.
            whole = read >= count if isinstance(count, int) else len(listed) < _PAGE
            # One that knows no $skip gives the same page again.
            if whole or len(items) == before:
                return [item for key, item in items.items() if key]
        raise BadReply("AI Core's list of deployments does not end")

    async def _found(self, item: Mapping[str, object]) -> Found | None:
        deployment, url = text(item.get("id")), text(item.get("deploymentUrl")).rstrip("/")
        state = text(item.get("status"))
        said = text(item.get("configurationName"))
        if state != "RUNNING" or (said and not self._matches(said)):
            return None
        if not is_callable(url):
            self._leave_out(deployment, "it states no address that may be called")
            return None
        try:
            configuration = await self._configuration(text(item.get("configurationId")))
        except EmbeddingError as error:
            self._leave_out(deployment, f"its configuration: {error.message}")
            return None
        called = text(configuration.get("name")) or said
        if not self._matches(called):
            return None
        values = _bindings(configuration)
        model = values.get(self._parameter) or _stated_model(item)
        if not model:
            problem = f"its configuration has no parameter {self._parameter}, so no model's name"
            self._leave_out(deployment, problem)
            return None
        return Found(
            name=model,
            engine=engine_of_image(values.get("image", "")) or self._engine,
            platform="aicore",
            url=url,
            model=model,
            capabilities=self._capabilities,
            precision=_PRECISIONS.get(values.get("dtype", "")),
            resource_group=self._group,
            revision=values.get(_REVISION) or None,
            deployment=deployment,
            created=moment(item.get("createdAt")),
            # Configurations cannot be changed, but a deployment can be given another.
            content=text(item.get("configurationId")),
            source=self._name,
            state=state,
        )

    async def _configuration(self, key: str) -> Mapping[str, object]:
        """Read once: AI Core's configurations cannot be changed."""
        if not key:
            raise BadReply("it has none")
        if key not in self._configurations:
            read = await self._get(f"/configurations/{quote(key, safe='')}")
            self._configurations[key] = read
        return self._configurations[key]

    async def _get(self, path: str) -> Mapping[str, object]:
        reply = await self._exchange.get(self._api + path, {"AI-Resource-Group": self._group})
        value = parse(reply.body)
        if not isinstance(value, dict):
            raise BadReply("AI Core's reply is no JSON object")
        return value

    def _matches(self, name: str) -> bool:
        return not self._patterns or any(fnmatchcase(name, one) for one in self._patterns)

    def _leave_out(self, deployment: str, problem: str) -> None:
        """Each problem once, not every round."""
        if (deployment, problem) not in self._said:
            self._said.add((deployment, problem))
            facts = {"source": self._name, "deployment": deployment}
            _log.warning("discovery: %s", problem, extra={"facts": facts})


def _bindings(configuration: Mapping[str, object]) -> dict[str, str]:
    pairs = (table(one) for one in entries(configuration.get("parameterBindings")))
    return {text(pair.get("key")): text(pair.get("value")) for pair in pairs}


def _stated_model(item: Mapping[str, object]) -> str:
    """Models that SAP itself offers are named here; both spellings occur."""
    for spelling in ("backendDetails", "backend_details"):
        if name := text(table(item, "details", "resources", spelling, "model").get("name")):
            return name
    return ""
