"""
A stand-in for OCI Data Science's control plane and the deployments that it lists.

As the oci SDK reads it: camel-case summaries, `opc-next-page`, at most
100 items a page, errors as `{"code","message"}` with `opc-request-id`.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from doubles.openai_upstream import _lifespan, _reply

_CODES = {
    400: "InvalidParameter",
    401: "NotAuthenticated",
    404: "NotAuthorizedOrNotFound",
    429: "TooManyRequests",
    500: "InternalServerError",
    503: "ServiceUnavailable",
}


def deployment(number: int = 1, **changes: Any) -> dict[str, Any]:
    """
    A summary as the API gives it; `environment`, `tags`, `state`, `url`, `image`, `cmd`,
    `variables`, `specification`, `endpoints`, `model_id` and `created` change what one wants to
    change.
    """
    key = f"ocid1.datasciencemodeldeployment.oc1.iad.d{number:04}"
    where: dict[str, Any] = {
        "environmentConfigurationType": changes.get("environment", "OCIR_CONTAINER"),
        "image": changes.get("image", "iad.ocir.io/tenancy/some-image:1.0"),
        "cmd": changes.get("cmd"),
        "serverPort": 8080,
        "environmentVariables": changes.get("variables", {}),
        "predictApiSpecification": changes.get("specification"),
        "customHttpEndpoints": changes.get("endpoints"),
    }
    if where["environmentConfigurationType"] == "DEFAULT":
        where = {"environmentConfigurationType": "DEFAULT"}
    model = {"modelId": changes.get("model_id", f"ocid1.datasciencemodel.oc1.iad.m{number:04}")}
    return {
        "id": key,
        "displayName": changes.get("display_name", f"deployment {number}"),
        "compartmentId": "ocid1.compartment.oc1..c",
        "lifecycleState": changes.get("state", "ACTIVE"),
        "timeCreated": changes.get("created", f"2026-01-01T00:00:{number % 60:02}.000Z"),
        "modelDeploymentUrl": changes.get("url", f"https://md.example/{key}"),
        "freeformTags": changes.get("tags", {}),
        "definedTags": {},
        "modelDeploymentConfigurationDetails": {
            "deploymentType": changes.get("deployment_type", "SINGLE_MODEL"),
            "modelConfigurationDetails": model,
            "environmentConfigurationDetails": where,
        },
    }


@dataclass
class OCIControlPlane:
    """
    An ASGI application. `faults` are statuses, or `(status, headers)`, taken one a listing.

    `compartments` holds the items of each. `models` is the catalogue by id. `served` is what each
    deployment answers to `GET …/predict/v1/models`, by id: a body or a status. `verify` may look
    at every request's method, path with query and headers: False answers 401.
    """

    compartments: dict[str, list[Any]] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    served: dict[str, Any] = field(default_factory=dict)
    page_size: int = 100
    endless: bool = False
    faults: deque[Any] = field(default_factory=deque)
    seen: list[str] = field(default_factory=list)
    verify: Callable[[str, str, dict[str, str]], bool] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await _lifespan(receive, send)
        query = scope["query_string"].decode()
        target = scope["path"] + (f"?{query}" if query else "")
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        self.seen.append(target)
        if self.verify is not None and not self.verify(scope["method"], target, headers):
            return await _fail(send, 401)
        path = scope["path"]
        if path == "/20190101/modelDeployments":
            return await self._list(send, parse_qs(query))
        if path.startswith("/20190101/models/"):
            model = self.models.get(path.rpartition("/")[2])
            return await (_fail(send, 404) if model is None else _json(send, model))
        key = path.split("/")[1]
        served = self.served.get(key, 404)
        if not path.endswith("/models") or isinstance(served, int):
            return await _fail(send, served if isinstance(served, int) else 404)
        return await _json(send, served)

    async def _list(self, send: Any, query: dict[str, list[str]]) -> None:
        if self.faults:
            fault = self.faults.popleft()
            status, headers = fault if isinstance(fault, tuple) else (fault, {})
            return await _fail(send, status, headers)
        items = self.compartments.get(query["compartmentId"][0])
        if items is None:
            return await _fail(send, 404)
        size = min(self.page_size, int(query["limit"][0]))
        start = int(query.get("page", ["0"])[0])
        more = start + size < len(items) or self.endless
        headers = {"opc-next-page": str(0 if self.endless else start + size)} if more else {}
        return await _json(send, items[start : start + size], headers)


async def _json(send: Any, value: Any, headers: dict[str, str] | None = None) -> None:
    await _reply(send, 200, json.dumps(value).encode(), headers)


async def _fail(send: Any, status: int, headers: dict[str, str] | None = None) -> None:
    body = {"code": _CODES.get(status, "Unknown"), "message": "secret words of the platform"}
    headers = {"opc-request-id": "REQUEST/1", **(headers or {})}
    await _reply(send, status, json.dumps(body).encode(), headers)
