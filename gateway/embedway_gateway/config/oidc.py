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
    """Whose usage and limits it is; required in a token."""
    models: str = "embedway_models"
    """A list of globs, or one text with blanks between them."""
    rpm: str = "embedway_rpm"
    """A whole number, as are the next three."""
    tpm: str = "embedway_tpm"
    """Tokens a minute."""
    texts_per_minute: str = "embedway_texts_per_minute"
    """Texts a minute."""
    max_concurrency: str = "embedway_max_concurrency"
    """Requests under way at once."""
    admin: str = "embedway_admin"
    """True, or with `admin_value` that word, alone or in a list."""


class OIDCConfig(Strict):
    """One issuer."""

    issuer: str = Field(min_length=1)
    """What a token's `iss` must be."""
    audience: str = Field(min_length=1)
    """What its `aud` must be, or hold."""
    jwks_url: str
    """Where the issuer publishes its keys; `https://`, but for loopback addresses."""
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256",), min_length=1)
    """
    That a token may be signed with. None of them is symmetric: a public key must never be taken
    for a secret.
    """
    leeway: Pause = 30.0
    """How far the clocks may be apart."""
    refresh: Duration = 600.0
    """How old the issuer's keys may get before they are asked for again."""
    models: tuple[str, ...] = ("*",)
    """What a token that names no models may use: globs of names or aliases."""
    limits: AllowanceConfig = AllowanceConfig()
    """Of a token that states none."""
    claims: ClaimsConfig = ClaimsConfig()
    """The names of claims."""
    admin_value: str | None = None
    """The word that the admin claim must be, or hold in a list; none is `true`."""

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
