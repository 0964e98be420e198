"""Where on SAP AI Core a plan is applied."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from embedway_gateway.config.strict import Strict
from embedway_upstream.loopback import is_loopback

__all__ = ["AICorePlace", "Id"]

Id = Annotated[str, Field(pattern=r"^[\w.-]{4,64}$")]
"""Of a scenario or an executable (AI API)."""


def _address(url: str) -> str:
    parts = urlsplit(url)
    loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or parts.username or not (loopback or parts.scheme == "https"):
        raise ValueError("api_url must begin with https:// and name a host")
    return url.rstrip("/").removesuffix("/v2")


class AICorePlace(Strict):
    """`api_url` is `AI_API_URL` of the service key, without a version."""

    platform: Literal["aicore"] = "aicore"
    api_url: Annotated[str, AfterValidator(_address)]
    resource_group: str = "default"
    scenario_id: Id
