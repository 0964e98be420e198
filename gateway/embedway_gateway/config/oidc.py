"""Which tokens of an identity provider open the gateway, and what they allow."""

from __future__ import annotations

from typing import Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from embedway_gateway.config.allowance import AllowanceConfig
from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Duration, Pause
from embedway_upstream.loopback import is_loopback

__all__ = ["Algorithm", "ClaimsConfig", "OIDCConfig"]

Algorithm: TypeAlias = Literal[
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
]


class ClaimsConfig(Strict):
    """The names of claims; one that a token lacks leaves what the configuration says."""

    name: str = "sub"
    models: str = "embedway_models"
    rpm: str = "embedway_rpm"
    tpm: str = "embedway_tpm"
    texts_per_minute: str = "embedway_texts_per_minute"
    max_concurrency: str = "embedway_max_concurrency"
    admin: str = "embedway_admin"
    """True, or with `admin_value` that word, alone or in a list."""


class OIDCConfig(Strict):
    """One issuer."""

    issuer: str = Field(min_length=1)
    audience: str = Field(min_length=1)
    jwks_url: str
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256",), min_length=1)
    """None of them is symmetric: a public key must never be taken for a secret."""
    leeway: Pause = 30.0
    """How far clocks may be apart."""
    refresh: Duration = 600.0
    """How old the issuer's keys may get before they are asked for again."""
    models: tuple[str, ...] = ("*",)
    """Of a token that states none, as are the limits."""
    limits: AllowanceConfig = AllowanceConfig()
    claims: ClaimsConfig = ClaimsConfig()
    admin_value: str | None = None

    @model_validator(mode="after")
    def _is_safe(self) -> Self:
        parts = urlsplit(self.jwks_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("jwks_url must begin with https:// and name a host")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise ValueError(
                "jwks_url is plain http beyond this machine: whoever is in between could let "
                "anyone in; use https"
            )
        if parts.username or parts.fragment:
            raise ValueError("jwks_url must have no user and no fragment")
        return self
