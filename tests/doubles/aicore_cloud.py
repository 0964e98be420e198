"""
A stand-in for a resource group of SAP AI Core to deploy to: templates that were read, artifacts,
configurations, and deployments that come up, die, are changed and removed.

Bodies are held against the schemas of SAP's published AI API (`AI_CORE_API.yaml`).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import jsonschema
import yaml

from doubles.aicore_api import AICoreAPI, _fail
from doubles.openai_upstream import _reply

_ID = {"type": "string", "pattern": r"^[\w.-]{4,64}$"}
_NAME = {
    "type": "string",
    "pattern": r"^[\w\s.!?,;:\[\](){}<>\"'=+*/\\^&%@~$#|-]*$",
    "maxLength": 256,
}
_LABEL = {
    "type": "object",
    "required": ["key", "value"],
    "additionalProperties": False,
    "properties": {
        "key": {"type": "string", "maxLength": 256, "pattern": r"^ext\.ai\.sap\.com\/[\w\.-]+$"},
        "value": {"type": "string", "maxLength": 5000},
    },
}
_SCHEMAS: dict[str, Any] = {
    "artifacts": {
        "type": "object",
        "required": ["name", "kind", "url", "scenarioId"],
        "additionalProperties": False,
        "properties": {
            "name": _NAME,
            "kind": {"enum": ["model", "dataset", "resultset", "other"]},
            "url": {"type": "string", "pattern": r"([a-z0-9-]+):\/\/.+", "maxLength": 1024},
            "description": {"type": "string", "maxLength": 5000},
            "scenarioId": _ID,
            "labels": {"type": "array", "items": _LABEL},
        },
    },
    "configurations": {
        "type": "object",
        "required": ["name", "executableId", "scenarioId"],
        "additionalProperties": False,
        "properties": {
            "name": _NAME,
            "executableId": _ID,
            "scenarioId": _ID,
            "parameterBindings": {
                "type": "array",
                "items": {
                    "required": ["key", "value"],
                    "properties": {
                        "key": {"type": "string", "maxLength": 256},
                        "value": {"type": "string", "maxLength": 5000},
                    },
                },
            },
            "inputArtifactBindings": {
                "type": "array",
                "items": {"required": ["key", "artifactId"], "properties": {"artifactId": _ID}},
            },
        },
    },
    "deployments": {
        "type": "object",
        "required": ["configurationId"],
        "additionalProperties": False,
        "properties": {"configurationId": _ID, "ttl": {"type": "string"}},
    },
}


@dataclass
class AICoreCloud(AICoreAPI):
    """
    `serve` makes what runs in a deployment, of its configuration. `turns`: how often one must look
    until something is done. `fate`: `("DEAD", words)` for the next deployment. `after`: called with
    each change, once it is done, and may raise.
    """

    serve: Callable[[dict[str, Any]], Any] | None = None
    url: str = ""
    turns: int = 3
    executables: dict[str, Any] = field(default_factory=dict)
    artifacts: dict[str, Any] = field(default_factory=dict)
    fate: list[tuple[str, str]] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    _left: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    _apps: dict[str, Any] = field(default_factory=dict)

    def read_template(self, content: str) -> None:
        """As AI Core reads it from a repository of git."""
        read = yaml.safe_load(content)
        facts, inputs = read["metadata"], read["spec"]["inputs"]
        key = facts["labels"]["executables.ai.sap.com/id"]
        self.executables[key] = {
            "id": key,
            "name": facts["annotations"]["executables.ai.sap.com/name"],
            "description": facts["annotations"]["executables.ai.sap.com/description"],
            "scenarioId": facts["labels"]["scenarios.ai.sap.com/id"],
            "versionId": facts["labels"]["ai.sap.com/version"],
            "deployable": True,
            "parameters": inputs["parameters"],
            "inputArtifacts": inputs["artifacts"],
        }

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        headers = {key.decode(): value.decode() for key, value in scope.get("headers", ())}
        known = self.accepts(headers.get("authorization", "")) and not self.faults
        if not known or headers.get("ai-resource-group") != self.resource_group:
            return await super().__call__(scope, receive, send)
        if path.startswith("/v2/inference/deployments/"):
            return await self._infer(scope, receive, send)
        if not path.startswith("/v2/lm/"):
            return await super().__call__(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        query = {key: v[0] for key, v in parse_qs(scope["query_string"].decode()).items()}
        parts = path.removeprefix("/v2/lm/").split("/")
        status, answer = self._answer(scope["method"], parts, query, body)
        if scope["method"] != "GET":
            self.changes.append(f"{scope['method']} {path}")
        if status >= 400:
            return await _fail(send, status, str(answer))
        return await _reply(send, status, json.dumps(answer).encode())

    def _answer(
        self, method: str, parts: list[str], query: dict[str, str], body: bytes
    ) -> tuple[int, Any]:
        match method, parts:
            case "GET", ["scenarios", scenario, "executables"]:
                listed = [one for one in self.executables.values() if one["scenarioId"] == scenario]
                return 200, {"count": len(listed), "resources": listed}
            case "GET", [("artifacts" | "configurations" | "deployments") as kind]:
                return 200, self._page(self._all(kind), query)
            case "POST", [("artifacts" | "configurations" | "deployments") as kind]:
                return self._made(kind, json.loads(body))
            case "GET", ["configurations", key] if key in self.configurations:
                return 200, self.configurations[key]
            case "GET", ["deployments", _, "logs"]:
                lines = [{"timestamp": "2026-01-01T00:00:00Z", "msg": one} for one in self.printed]
                return 200, {"data": {"result": lines}}
            case _, ["deployments", key]:
                found = next((one for one in self.deployments if one["id"] == key), None)
                return (404, "NotFound") if found is None else self._one(method, found, body)
        return 404, "NotFound"

    def _all(self, kind: str) -> list[Any]:
        if kind == "deployments":
            return self.deployments
        return list((self.artifacts if kind == "artifacts" else self.configurations).values())

    def _page(self, items: list[Any], query: dict[str, str]) -> Any:
        wanted = [
            one
            for one in items
            if all(one.get(key) == query[key] for key in ("scenarioId", "status") if key in query)
        ]
        start = int(query.get("$skip", "0"))
        size = min(int(query.get("$top", "1000")), self.page_size)
        return {"count": len(wanted), "resources": wanted[start : start + size]}

    def _made(self, kind: str, body: Any) -> tuple[int, Any]:
        jsonschema.validate(body, _SCHEMAS[kind])
        number = len(self._all(kind)) + 1
        made = {
            "id": f"{kind[0]}{number:07}",
            "createdAt": f"2026-01-01T00:00:{number:02}Z",
            **body,
        }
        if kind == "artifacts":
            self.artifacts[made["id"]] = made
        elif kind == "configurations":
            if body["executableId"] not in self.executables:
                return 400, "no such executable"
            bound = {one["artifactId"] for one in body["inputArtifactBindings"]}
            if not bound <= self.artifacts.keys():
                return 400, "no such artifact"
            self.configurations[made["id"]] = made
        else:
            configuration = self.configurations[body["configurationId"]]
            made |= {"configurationName": configuration["name"], "status": "UNKNOWN"}
            made |= {"scenarioId": configuration["scenarioId"], "targetStatus": "RUNNING"}
            made |= {"deploymentUrl": "", "statusMessage": ""}
            end, words = self.fate.pop(0) if self.fate else ("RUNNING", "")
            made["_words"] = words
            self.deployments.append(made)
            states = ["PENDING", end] if self.turns > 1 else [end]
            self._left[made["id"]] = (self.turns, states)
        return 202, {"id": made["id"], "message": "scheduled"}

    def _one(self, method: str, found: Any, body: bytes) -> tuple[int, Any]:
        key = found["id"]
        if method == "GET":
            self._turn(found)
            return (200, found) if found in self.deployments else (404, "NotFound")
        if method == "DELETE":
            if found["status"] not in {"STOPPED", "DEAD", "UNKNOWN"}:
                return 412, "it runs"
            self._left[key] = (1, ["DELETED"])
            return 202, {"id": key, "message": "scheduled"}
        change = json.loads(body)
        if change == {"targetStatus": "STOPPED"}:
            found["status"] = "STOPPING"
            self._left[key] = (self.turns, ["STOPPED"])
        else:
            found["configurationId"] = change["configurationId"]
            found["configurationName"] = self.configurations[change["configurationId"]]["name"]
            self._left[key] = (self.turns, ["RUNNING"])
        return 202, {"id": key, "message": "scheduled"}

    def _turn(self, found: Any) -> None:
        key = found["id"]
        if key not in self._left:
            return
        left, states = self._left.pop(key)
        if left > 1:
            self._left[key] = (left - 1, states)
            return
        found["status"] = states[0]
        if states[1:]:
            self._left[key] = (self.turns, states[1:])
        if states[0] == "RUNNING":
            found["deploymentUrl"] = f"{self.url}/v2/inference/deployments/{key}"
            found["latestRunningConfigurationId"] = found["configurationId"]
            self._apps.pop(key, None)
        elif states[0] == "DEAD":
            found["statusMessage"] = found["_words"]
        elif states[0] == "DELETED":
            self.deployments.remove(found)

    async def _infer(self, scope: Any, receive: Any, send: Any) -> None:
        key = scope["path"].split("/")[4]
        found = next((one for one in self.deployments if one["id"] == key), None)
        if found is None or found["status"] != "RUNNING" or self.serve is None:
            return await _fail(send, 404, "NotFound")
        if key not in self._apps:
            self._apps[key] = self.serve(self.configurations[found["configurationId"]])
        inner = {**scope, "path": "/" + "/".join(scope["path"].split("/")[5:])}
        return await self._apps[key](inner, receive, send)
