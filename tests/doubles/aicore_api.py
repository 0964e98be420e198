"""
A stand-in for SAP AI Core: its token server, its management API, and its inference path.

Built from SAP's AI API and its SDK.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from doubles.openai_upstream import OpenAIUpstream, _lifespan, _reply


@dataclass
class AICoreAPI:
    """
    An ASGI application. A call without the newest token is refused with 401, one of another
    resource group with 403.

    `token_faults` and `faults` are statuses, or `(status, headers)`, or `(status, headers, body)`,
    taken one a request of the token server and of the API; a token fault may be a whole body too.
    """

    client_id: str = "client"
    client_secret: str = "planted-secret"
    resource_group: str = "default"
    expires_in: Any = 43199
    token_delay: float = 0.0
    page_size: int = 1000
    deployments: list[Any] = field(default_factory=list)
    configurations: dict[str, Any] = field(default_factory=dict)
    engine: OpenAIUpstream = field(default_factory=OpenAIUpstream)
    token_faults: deque[Any] = field(default_factory=deque)
    faults: deque[Any] = field(default_factory=deque)
    seen: list[str] = field(default_factory=list)
    forms: list[dict[str, str]] = field(default_factory=list)
    generation: int = 0

    @property
    def token(self) -> str:
        return f"planted-token-{self.generation}"

    def rotate(self) -> None:
        """Tokens given so far are worth nothing now."""
        self.generation += 1

    def accepts(self, authorization: str) -> bool:
        """Whether a call with that header is let through."""
        return authorization == f"Bearer {self.token}"

    def add(self, number: int, url: str, *, name: str, model: str | None, **more: Any) -> None:
        """A RUNNING deployment `d1` with a configuration `c1` of that name."""
        bindings = [{"key": "modelName", "value": model}] if model else []
        bindings += [{"key": key, "value": value} for key, value in more.get("values", {}).items()]
        self.configurations[f"c{number}"] = {
            "id": f"c{number}",
            "name": name,
            "scenarioId": "scenario",
            "parameterBindings": bindings,
        }
        item = {
            "id": f"d{number}",
            "deploymentUrl": f"{url}/v2/inference/deployments/d{number}",
            "configurationId": f"c{number}",
            "scenarioId": "scenario",
            "status": "RUNNING",
            "targetStatus": "RUNNING",
            "createdAt": "2026-01-01T00:00:00Z",
        }
        self.deployments.append({**item, **more.get("item", {})})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        path = scope["path"]
        if path == "/oauth/token":
            return await self._give_token(receive, send)
        query = scope["query_string"].decode()
        self.seen.append(path + (f"?{query}" if query else ""))
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        if not self.accepts(headers.get("authorization", "")):
            return await _fail(send, 401, "Unauthorized")
        if headers.get("ai-resource-group") != self.resource_group:
            return await _fail(send, 403, "Forbidden")
        if self.faults:
            return await _fault(send, self.faults.popleft())
        if path.startswith("/v2/inference/deployments/"):
            if path.split("/")[4] not in {item["id"] for item in self.deployments}:
                return await _fail(send, 404, "NotFound")
            inner = {**scope, "path": "/" + "/".join(path.split("/")[5:])}
            return await self.engine(inner, receive, send)
        if path == "/v2/lm/deployments":
            return await self._list(send, parse_qs(query))
        configuration = self.configurations.get(path.rpartition("/")[2])
        if configuration is None:
            return await _fail(send, 404, "01010031")
        return await _json(send, configuration)

    async def _give_token(self, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        form = {key: values[0] for key, values in parse_qs(body.decode()).items()}
        self.forms.append(form)
        await asyncio.sleep(self.token_delay)
        if self.token_faults:
            return await _fault(send, self.token_faults.popleft())
        expected = (self.client_id, self.client_secret)
        if (form.get("client_id"), form.get("client_secret")) != expected:
            answer = {"error": "invalid_client", "error_description": f"no {form}"}
            return await _reply(send, 401, json.dumps(answer).encode())
        self.rotate()
        answer = {"access_token": self.token, "expires_in": self.expires_in}
        return await _json(send, {**answer, "token_type": "bearer"})

    async def _list(self, send: Any, query: dict[str, list[str]]) -> None:
        wanted = [item for item in self.deployments if _fits(item, query)]
        start = int(query.get("$skip", ["0"])[0])
        size = min(int(query.get("$top", ["1000"])[0]), self.page_size)
        resources = wanted[start : start + size]
        await _json(send, {"count": len(wanted), "resources": resources})


def _fits(item: Any, query: dict[str, list[str]]) -> bool:
    if not isinstance(item, dict) or "scenarioId" not in item:
        return True  # what is broken is broken in any list
    same_scenario = item["scenarioId"] == query["scenarioId"][0]
    return bool(same_scenario and item.get("status") == query["status"][0])


async def _fault(send: Any, fault: Any) -> None:
    if isinstance(fault, bytes):
        return await _reply(send, 200, fault)
    if isinstance(fault, int):
        return await _fail(send, fault, "Fault")
    status, headers, *body = fault
    if body:
        return await _reply(send, status, body[0], headers)
    return await _fail(send, status, "Fault", headers)


async def _json(send: Any, value: Any) -> None:
    await _reply(send, 200, json.dumps(value).encode())


async def _fail(send: Any, status: int, code: str, headers: dict[str, str] | None = None) -> None:
    error = {"code": code, "message": "planted words", "requestId": "r-1", "details": []}
    await _reply(send, status, json.dumps({"error": error}).encode(), headers)
