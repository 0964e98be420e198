"""
SAP AI Core: a deployment behind `{api}/v2/inference/deployments/{id}`.

Facts from SAP's AI API and its ai-core-sdk. What the inference path answers while
a deployment is scaled to zero or with a wrong resource group is documented nowhere, so anything
that is not an engine's JSON is read as the platform's, by its status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from embedway_upstream.engines.status import from_status, retry_after
from embedway_upstream.error import (
    EmbeddingError,
    RateLimited,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamTimeout,
)
from embedway_upstream.platforms.platform import SERVERS_OWN

__all__ = ["AICore", "aicore_error"]

_VERSIONED = re.compile(r"/v\d+(/|$)")
# A mesh's and a platform's own; an engine that fails says so in JSON.
_PLATFORM_STATUSES = {401, 403, 404, 429, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class AICore:
    """`url` is the deployment's, as the platform states it; the engine's path is its suffix."""

    url: str
    resource_group: str = "default"

    max_bytes: int | None = field(default=None, init=False, repr=False)
    max_seconds: float | None = field(default=None, init=False, repr=False)

    def address(self, path: str, *, stream: bool = False) -> str:
        """
        The URL of the engine's path, of streams too. One without a version gets `/v1` in front:
        AI Core's serving templates start infinity so, whose `/rerank` is then `/v1/rerank`.
        """
        base = self.url.rstrip("/")
        path = path if path.startswith("/") else f"/{path}"
        if not _VERSIONED.match(path):
            path = f"/v1{path}"
        return base.removesuffix("/v1") + path if path.startswith("/v1/") else base + path

    def probe_address(self, path: str) -> str | None:
        """The same URL; none for what is the server's own, which has no version in its path."""
        return None if path in SERVERS_OWN else self.address(path)

    def headers(self, path: str, *, stream: bool = False) -> Mapping[str, str]:
        """The resource group; without it every call is refused."""
        return {"AI-Resource-Group": self.resource_group}

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError | None:
        """The platform's failure, None where the engine behind it speaks."""
        parsed = _parse(body)
        if _is_platforms(parsed):
            return aicore_error(status, headers, body, resource_group=self.resource_group)
        if parsed is not None and status in {401, 403}:
            message = (
                "the engine behind AI Core asks for an API key of its own, which cannot be sent "
                "beside AI Core's token; start it without one"
            )
            return UpstreamRefused(message, detail=f"status {status}")
        if parsed is None and status in _PLATFORM_STATUSES:
            return aicore_error(status, headers, body, resource_group=self.resource_group)
        return None


def aicore_error(
    status: int, headers: Mapping[str, str], body: bytes, *, resource_group: str
) -> EmbeddingError:
    """What AI Core means, on its inference path or its management API."""
    parsed = _parse(body)
    inner = parsed.get("error") if parsed else None
    detail = f"status {status}"
    if isinstance(inner, dict):
        said = {"code": inner.get("code"), "request": inner.get("requestId")}
        detail += "".join(f", {name} {_short(value)}" for name, value in said.items() if value)
    wait = retry_after(headers)
    if status == 429:
        return RateLimited("AI Core asks to slow down", retry_after=wait, detail=detail)
    if status == 504:
        return UpstreamTimeout("AI Core got no answer from the deployment in time", detail=detail)
    if status in {502, 503}:
        message = (
            "the deployment on AI Core cannot serve now: it starts, is scaled to zero or stops"
        )
        return UpstreamFailed(message, retry_after=wait, detail=detail)
    if refusal := _refusals(resource_group).get(status):
        return UpstreamRefused(refusal, detail=detail)
    return from_status(status, headers)


def _refusals(group: str) -> Mapping[int, str]:
    return {
        400: f"AI Core refuses the call; is {group!r} the name of the resource group?",
        401: "AI Core does not accept the token; client and address must be of one service key",
        403: f"AI Core lets these credentials into no resource group {group!r}; check its name "
        "and the roles of the service key",
        404: f"AI Core knows no such deployment in the resource group {group!r}: it was stopped "
        "or deleted, or belongs to another group",
    }


def _parse(body: bytes) -> dict[str, object] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _is_platforms(parsed: dict[str, object] | None) -> bool:
    """`error` with a request's id, or with neither of the fields that OpenAI's form has."""
    inner = parsed.get("error") if parsed else None
    if not isinstance(inner, dict) or "code" not in inner:
        return False
    return "requestId" in inner or not ({"type", "param"} & inner.keys())


def _short(value: object) -> str:
    text = str(value)[:64]
    return text if text.isascii() and text.isprintable() else "?"
