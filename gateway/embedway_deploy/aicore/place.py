"""Where on SAP AI Core a plan is applied."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from embedway_deploy.error import Refused
from embedway_gateway.config.strict import Strict
from embedway_upstream.loopback import is_loopback

__all__ = ["UNKNOWN_ADDRESS", "AICorePlace", "Id"]

Id = Annotated[str, Field(pattern=r"^[\w.-]{4,64}$")]
"""Of a scenario or an executable (AI API)."""


UNKNOWN_ADDRESS = "https://AI_API_URL"
"""Stands for the address in a plan that is only looked at; nothing is ever sent to it."""


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

    @property
    def has_address(self) -> bool:
        """Whether it is AI Core's own; one that is not known cannot be applied, nor kept."""
        return urlsplit(self.api_url).hostname != urlsplit(UNKNOWN_ADDRESS).hostname

    def demand_address(self) -> None:
        """Raise `Refused` with the cure where there is none."""
        if not self.has_address:
            raise Refused(
                [
                    (
                        f"the plan names no address of AI Core, but {UNKNOWN_ADDRESS}, which "
                        "stands for it: make the plan again with --api-url, AI_API_URL of the "
                        "service key, or with a login"
                    )
                ]
            )
