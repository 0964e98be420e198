"""Reads the tokens of an identity provider: whose they are, and what they allow."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt

from embedway_gateway.access.caller import Caller, patterns
from embedway_gateway.access.jwks import JWKS, public_key
from embedway_gateway.access.keyring import Refused
from embedway_gateway.access.secret import digest
from embedway_gateway.quota.allowance import Allowance
from embedway_gateway.quota.meter import counted

if TYPE_CHECKING:
    from embedway_gateway.config.oidc import OIDCConfig
    from embedway_upstream.flow import StreamTransport

__all__ = ["Tokens"]

_LONGEST = 16 * 1024
_LONGEST_NAME = 128
# A token is sent with many requests; to verify it costs as much as 30 requests' layers.
_REMEMBERED = 4096
# Beyond it a limit is none, and arithmetic ends.
_HIGHEST = 10**15
# What PyJWT lets through of JSON that is too deep, or has numbers beyond all bounds.
_UNREADABLE = (RecursionError, OverflowError, ValueError, TypeError)
_LIMITS = ("rpm", "tpm", "texts_per_minute", "max_concurrency")


@dataclass(frozen=True, slots=True)
class _Known:
    caller: Caller
    until: float
    version: int
    """Of the keys that it was verified with."""


class Tokens:
    """
    Verifies each token once, and remembers it until it ends or the issuer's keys change. Only the
    configured algorithms count, whatever a token or a key says of itself.
    """

    def __init__(
        self,
        config: OIDCConfig,
        transport: StreamTransport,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._clock = clock
        self._jwks = JWKS(config.jwks_url, transport, refresh=config.refresh, clock=monotonic)
        self._known: dict[bytes, _Known] = {}

    async def find(self, token: bytes) -> Caller:
        """Whose it is. Raises `Refused` or `IssuerDown`."""
        if len(token) > _LONGEST:
            raise Refused("The token is too long.", reason="bad_token")
        digested = digest(token)
        known = self._known.get(digested)
        if known is not None and self._holds(known):
            return known.caller
        caller, until = await self._verified(token)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[digested] = _Known(caller, until, self._jwks.version)
        return caller

    async def close(self) -> None:
        """Ask the issuer no more."""
        await self._jwks.close()

    def _holds(self, known: _Known) -> bool:
        jwks = self._jwks
        return self._clock() < known.until and jwks.usable() and known.version == jwks.version

    async def _verified(self, token: bytes) -> tuple[Caller, float]:
        config = self._config
        try:
            head = jwt.get_unverified_header(token)
        except (jwt.PyJWTError, *_UNREADABLE):
            raise Refused("The token is malformed.", reason="bad_token") from None
        algorithm = head.get("alg")
        if algorithm not in config.algorithms:
            raise Refused("The token's algorithm is not accepted here.", reason="bad_token")
        published = await self._jwks.find(head.get("kid"))
        key = None if published is None else public_key(published, algorithm)
        if key is None:
            raise Refused("The token is signed with an unknown key.", reason="bad_token")
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=config.audience,
                issuer=config.issuer,
                leeway=config.leeway,
                options={"require": ["exp", "iss", "aud"], "strict_aud": False},
            )
        except jwt.ExpiredSignatureError:
            raise Refused("The token has expired.", reason="expired") from None
        except (jwt.PyJWTError, *_UNREADABLE) as error:
            # The class alone: messages may hold what was sent.
            raise Refused(
                f"The token is not valid here: {_why(error)}.", reason="bad_token"
            ) from None
        return self._caller(claims), _end(claims["exp"]) + config.leeway

    def _caller(self, claims: Mapping[str, object]) -> Caller:
        config, names = self._config, self._config.claims
        name = claims.get(names.name)
        if (
            not isinstance(name, str)
            or not name
            or len(name) > _LONGEST_NAME
            or not name.isprintable()
        ):
            raise Refused(f"The token has no usable claim {names.name}.", reason="bad_token")
        stated = {limit: claims.get(getattr(names, limit)) for limit in _LIMITS}
        for limit, value in stated.items():
            if value is not None and (type(value) is not int or not 1 <= value <= _HIGHEST):
                claim = getattr(names, limit)
                raise Refused(f"The token's claim {claim} is no whole number.", reason="bad_token")
        limits = {
            limit: getattr(config.limits, limit) if value is None else value
            for limit, value in stated.items()
        }
        # Apart from the names of keys, which hold no colon.
        whole = f"oidc:{name}"
        allowance = Allowance(**limits)  # type: ignore[arg-type]
        meters, seats = counted(f"key:{whole}", allowance)
        return Caller(
            name=whole,
            label="oidc",
            admin=self._is_admin(claims.get(names.admin)),
            pattern=patterns(self._models(claims.get(names.models))),
            meters=meters,
            seats=seats,
        )

    def _models(self, stated: object) -> tuple[str, ...]:
        if stated is None:
            return self._config.models
        if isinstance(stated, str):
            # As scopes are written.
            return tuple(stated.split())
        if isinstance(stated, list) and all(isinstance(one, str) for one in stated):
            return tuple(stated)
        claim = self._config.claims.models
        raise Refused(f"The token's claim {claim} is no list of names.", reason="bad_token")

    def _is_admin(self, stated: object) -> bool:
        wanted = self._config.admin_value
        if wanted is None:
            return stated is True
        return stated == wanted or (isinstance(stated, list) and wanted in stated)


def _end(stated: object) -> float:
    try:
        return float(stated)  # type: ignore[arg-type]
    except OverflowError:
        return float("inf")


def _why(error: Exception) -> str:
    if isinstance(error, jwt.InvalidAudienceError):
        return "it is for somebody else (aud)"
    if isinstance(error, jwt.InvalidIssuerError):
        return "it is of another issuer (iss)"
    if isinstance(error, jwt.ImmatureSignatureError):
        return "it is of the future (nbf, iat)"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"it lacks {error.claim}"
    if isinstance(error, jwt.InvalidSignatureError):
        return "its signature is wrong"
    return "it is malformed"
