"""
A stand-in for a whole region of OCI Data Science, to deploy to: models, deployments, work requests,
buckets, images, logs, and the deployments' own addresses behind them. Every signature is verified.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from doubles.oci_bucket import Answer, ObjectStorage
from doubles.oci_identity import KEY_ID, private_key
from doubles.oci_platform import OCIPlatform, Refusal
from doubles.oci_update import merged, refusal
from doubles.openai_upstream import _lifespan

PROJECT = "ocid1.datascienceproject.oc1.iad.p"
COMPARTMENT = "ocid1.compartment.oc1..c"
SHAPES = ("VM.Standard.E4.Flex", "VM.GPU.A10.1")
_STREAMS = re.compile(r"/n/.*/(o|u)/.+|/20190101/models/[^/]+/artifact")
_CODES = {400: "InvalidParameter", 401: "NotAuthenticated", 404: "NotAuthorizedOrNotFound"}
_BORN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class OCICloud:
    """
    An ASGI application. `serve` makes what runs in a deployment, of its resource and its artifact.

    `turns`: how often one must look until something is done. `fate`: what becomes of the next
    deployment, and why: `("FAILED", "words")`. `refusals`: of the next creations, as
    `(status, code, message)`. `seen`: method and path of every request that was let through.
    """

    serve: Callable[[dict[str, Any], bytes], Any]
    url: str = ""
    turns: int = 2
    storage: ObjectStorage = field(default_factory=ObjectStorage)
    shapes: tuple[str, ...] = SHAPES
    images: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    """The versions of each repository; None is an image that has lost its tag."""
    printed: list[str] = field(default_factory=list)
    fate: list[tuple[str, str]] = field(default_factory=list)
    refusals: list[tuple[int, str, str]] = field(default_factory=list)
    called: Callable[[], object] = lambda: None
    stuck: str = ""
    """Why updates fail."""
    spoiled: str = ""
    """Why artifacts cannot be exported from a bucket."""
    models: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    deployments: dict[str, dict[str, Any]] = field(default_factory=dict)
    works: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """What the work requests that failed say."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    _apps: dict[str, Any] = field(default_factory=dict)
    _left: dict[str, int] = field(default_factory=dict)
    _next: dict[str, str] = field(default_factory=dict)
    _tokens: dict[str, Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gate = OCIPlatform(None, {KEY_ID: private_key().public_key()})

    def restart(self) -> None:
        """What runs in the deployments is begun anew with the next call."""
        self._apps.clear()

    @property
    def changes(self) -> list[tuple[str, str]]:
        """The requests that change something, apart from calls of a deployment."""
        return [
            (method, path)
            for method, path in self.seen
            if method not in {"GET", "HEAD"} and "/predict" not in path and "/search" not in path
        ]

    @property
    def remains(self) -> list[str]:
        """The ids and names of everything that is there."""
        made = [*self.models.items(), *self.deployments.items()]
        found = [key for key, one in made if one["lifecycleState"] != "DELETED"]
        return found + [name for b in self.storage.buckets.values() for name in b.objects]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        body = b"".join(parts)
        query = scope["query_string"].decode()
        target = scope["raw_path"].decode().partition("?")[0] + (f"?{query}" if query else "")
        headers = {key.decode(): value.decode() for key, value in scope["headers"]}
        if target.startswith("/ocid1.datasciencemodeldeployment"):
            await self._call(scope, body, target, send)
            return
        try:
            path = target.partition("?")[0]
            streamed = scope["method"] in {"PUT", "POST"} and _STREAMS.fullmatch(path) is not None
            signed = "x-content-sha256" in headers
            self.gate.verify(scope["method"], target, headers, body, stream=streamed and not signed)
        except Refusal as refusal:
            self.refused.append(f"{scope['method']} {target}: {refusal}")
            await _write(send, _wrong(401, str(refusal)))
            return
        self.seen.append((scope["method"], path))
        answer = self._answer(scope["method"], target, headers, body)
        await _write(send, answer, bodiless=scope["method"] == "HEAD")

    async def _call(self, scope: Any, body: bytes, target: str, send: Any) -> None:
        key = target.split("/")[1]
        found = self.deployments.get(key)
        if found is None or found["lifecycleState"] not in {"ACTIVE", "UPDATING"}:
            await _write(send, _wrong(404, "Model deployment not found"))
            return
        if key not in self._apps:
            details = found["modelDeploymentConfigurationDetails"]
            model = details["modelConfigurationDetails"]["modelId"]
            self._apps[key] = OCIPlatform(
                self.serve(found, self.artifacts[model][0]), self.gate.keys
            )
        self.seen.append((scope["method"], target))
        self.called()
        variables = _environment(found).get("environmentVariables") or {}
        mapped = variables.get("MODEL_DEPLOY_PREDICT_ENDPOINT")
        app = self._apps[key]

        async def again() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        if mapped and target.endswith("/predict"):
            inner = app.inner

            async def moved(inner_scope: Any, receive: Any, send: Any) -> None:
                await inner({**inner_scope, "path": mapped}, receive, send)

            app = OCIPlatform(moved, self.gate.keys)
        await app(scope, again, send)

    def _answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        path, _, query = target.partition("?")
        asked = {key: values[0] for key, values in parse_qs(query).items()}
        if path.startswith("/n"):
            return self.storage.answer(method, target, headers, body)
        if path == "/20190909/search":
            return _json({"results": [{"data": _entry(line)} for line in reversed(self.printed)]})
        if path == "/20160918/container/images":
            versions = self.images.get(asked.get("repositoryName", ""), ())
            return _json(
                {"items": [{"version": one, "digest": f"sha256:{one}"} for one in versions]}
            )
        if not path.startswith("/20190101/"):
            return _wrong(404, f"nobody is at {path}")
        kind, *rest = path.removeprefix("/20190101/").split("/")
        token = headers.get("opc-retry-token")
        if method == "POST" and token and token in self._tokens:
            return self._tokens[token]
        answer = self._data_science(kind, rest, method, headers, body)
        if method == "GET" and not rest and kind in {"models", "modelDeployments"}:
            answer = _of_compartment(answer, asked["compartmentId"])
        if method == "POST" and token:
            self._tokens[token] = answer
        return answer

    def _data_science(
        self, kind: str, rest: list[str], method: str, headers: dict[str, str], body: bytes
    ) -> Answer:
        match kind, rest:
            case "projects", [key]:
                return _json({"id": key}) if key == PROJECT else _wrong(404, "no such project")
            case "modelDeploymentShapes", []:
                return _json([{"name": name} for name in self.shapes])
            case "models", _:
                return self._models(rest, method, headers, body)
            case "modelDeployments", _:
                return self._deployments(rest, method, body)
            case "workRequests", []:
                return _json(list(self.works.values()))
            case "workRequests", [key, "errors"]:
                error = {
                    "code": "Failed",
                    "message": self.failures.get(key, ""),
                    "timestamp": _time(1),
                }
                return _json([error] if key in self.failures else [])
            case "workRequests", [key]:
                if self._turn(key):
                    self.works[key]["status"] = "FAILED" if key in self.failures else "SUCCEEDED"
                return _json(self.works[key])
        return _wrong(404, f"{kind} {rest}")

    def _models(self, rest: list[str], method: str, headers: dict[str, str], body: bytes) -> Answer:
        match method, rest:
            case "GET", []:
                return _json(list(self.models.values()))
            case "POST", []:
                return self._refusal() or self._made(self.models, "ocid1.datasciencemodel", body)
            case _, [key, *_] if key not in self.models:
                return _wrong(404, "no such model")
            case "GET", [key]:
                return _json(self.models[key])
            case "DELETE", [key]:
                using = [
                    one
                    for one in self.deployments.values()
                    if _model_of(one) == key and one["lifecycleState"] != "DELETED"
                ]
                if using:
                    return _wrong(409, "the model has deployments")
                self.models[key]["lifecycleState"] = "DELETED"
                return 204, b"", {}
            case "GET" | "HEAD", [key, "artifact", "content"] if key in self.artifacts:
                content, disposition = self.artifacts[key]
                return 200, content, {"content-disposition": disposition}
            case "POST", [key, "artifact"]:
                self.artifacts[key] = (body, headers["content-disposition"])
                return 204, b"", {}
            case "POST", [key, "actions", "exportArtifact"]:
                return self._exported(key, json.loads(body)["artifactExportDetails"])
        return _wrong(404, "not there")

    def _exported(self, key: str, details: dict[str, str]) -> Answer:
        bucket = self.storage.buckets[details["sourceBucket"]]
        content = bucket.objects[details["sourceObjectName"]][-1].body
        work = self._work(key)
        if self.spoiled:
            self.failures[work] = self.spoiled
        else:
            self.artifacts[key] = (content, f"attachment; filename={key}.zip")
        return 202, b"", {"opc-work-request-id": work}

    def _deployments(self, rest: list[str], method: str, body: bytes) -> Answer:
        match method, rest:
            case "GET", []:
                return _json(list(self.deployments.values()))
            case "POST", []:
                return self._refusal() or self._deployed(body)
            case _, [key, *_] if key not in self.deployments:
                return _wrong(404, "no such deployment")
            case "GET", [key]:
                if self._turn(key):
                    self.deployments[key]["lifecycleState"] = self._next.pop(key)
                return _json(self.deployments[key])
            case "PUT", [key]:
                return self._updated(key, json.loads(body))
            case "DELETE", [key]:
                return self._move(key, "DELETING", "DELETED")
            case "POST", [key, "actions", "activate" | "deactivate" as action]:
                before, after = ("INACTIVE", "ACTIVE")[:: 1 if action == "activate" else -1]
                if (state := self.deployments[key]["lifecycleState"]) != before:
                    return _wrong(409, f"the deployment is {state}")
                return self._move(key, "UPDATING", after)
        return _wrong(404, "not there")

    def _updated(self, key: str, asked: dict[str, Any]) -> Answer:
        found = self.deployments[key]
        if words := refusal(found, asked):
            return _wrong(409, words)
        if not self.stuck:
            self.deployments[key] = merged(found, asked)
            self._apps.pop(key, None)
        answer = self._move(key, "UPDATING", found["lifecycleState"])
        if self.stuck:
            self.failures[answer[2]["opc-work-request-id"]] = self.stuck
        return answer

    def _deployed(self, body: bytes) -> Answer:
        status, content, _ = self._made(
            self.deployments, "ocid1.datasciencemodeldeployment", body, "CREATING"
        )
        made = self.deployments[json.loads(content)["id"]]
        made["modelDeploymentUrl"] = f"{self.url}/{made['id']}"
        fate, words = self.fate.pop(0) if self.fate else ("ACTIVE", "")
        made["lifecycleDetails"] = words
        work = self._work(made["id"])
        if fate == "FAILED":
            self.works[work]["status"] = "FAILED"
            self.failures[work] = words
        self._left[made["id"]], self._next[made["id"]] = self.turns, fate
        return status, json.dumps(made).encode(), {"opc-work-request-id": work}

    def _made(
        self, place: dict[str, dict[str, Any]], kind: str, body: bytes, state: str = "ACTIVE"
    ) -> Answer:
        number = len(self.models) + len(self.deployments) + 1
        made = {
            "id": f"{kind}.oc1.iad.x{number:04}",
            "lifecycleState": state,
            "timeCreated": _time(number),
            "createdBy": "user",
            **json.loads(body),
        }
        place[made["id"]] = made
        return _json(made)

    def _work(self, resource: str) -> str:
        key = f"ocid1.datascienceworkrequest.oc1.iad.w{len(self.works) + 1:04}"
        self.works[key] = {
            "id": key,
            "status": "IN_PROGRESS",
            "percentComplete": 50.0,
            "timeAccepted": _time(len(self.works)),
            "resources": [{"identifier": resource, "actionType": "CREATED", "entityType": "x"}],
        }
        self._left[key] = self.turns
        return key

    def _move(self, key: str, now: str, then: str) -> Answer:
        self.deployments[key]["lifecycleState"] = now
        self._left[key], self._next[key] = self.turns, then
        return 202, b"", {"opc-work-request-id": self._work(key)}

    def _turn(self, key: str) -> bool:
        """Whether it is done, with this look."""
        if key not in self._left:
            return False
        self._left[key] -= 1
        if self._left[key] > 0:
            return False
        del self._left[key]
        return True

    def _refusal(self) -> Answer | None:
        if not self.refusals:
            return None
        status, code, message = self.refusals.pop(0)
        return status, json.dumps({"code": code, "message": message}).encode(), {}


def _environment(deployment: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deployment["modelDeploymentConfigurationDetails"][
        "environmentConfigurationDetails"
    ]
    return found


def _model_of(deployment: dict[str, Any]) -> str:
    details = deployment["modelDeploymentConfigurationDetails"]["modelConfigurationDetails"]
    return str(details["modelId"])


def _time(number: int) -> str:
    return (_BORN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")


def _entry(line: str) -> dict[str, Any]:
    return {"logContent": {"time": "2026-01-01T00:00:00Z", "data": {"message": line}}}


def _of_compartment(answer: Answer, compartment: str) -> Answer:
    """A list as one compartment has it; those within are not looked into."""
    status, body, headers = answer
    items = [one for one in json.loads(body) if one["compartmentId"] == compartment]
    return status, json.dumps(items).encode(), headers


def _json(value: Any) -> Answer:
    return 200, json.dumps(value).encode(), {}


def _wrong(status: int, message: str) -> Answer:
    body = {"code": _CODES.get(status, "IncorrectState"), "message": message}
    return status, json.dumps(body).encode(), {}


async def _write(send: Any, answer: Answer, *, bodiless: bool = False) -> None:
    status, body, more = answer
    headers = {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "opc-request-id": "REQUEST/1",
        **more,
    }
    lines = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": lines})
    await send({"type": "http.response.body", "body": b"" if bodiless else body})
