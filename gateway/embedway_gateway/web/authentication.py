"""Finds out who calls, by the key or token that a request brings."""

from __future__ import annotations

from starlette.types import Scope

from embedway_gateway.access.caller import ANYONE, Caller
from embedway_gateway.access.follow import FollowedKeys
from embedway_gateway.access.jwks import IssuerDown
from embedway_gateway.access.keyring import Refused
from embedway_gateway.access.secret import PREFIX
from embedway_gateway.access.token import Tokens
from embedway_gateway.metric import Metrics
from embedway_gateway.web.body import header
from embedway_gateway.web.error import HTTPError

__all__ = ["Authentication"]

_PREFIX = PREFIX.encode()
# As OpenAI's clients send it, and as Anthropic's and Azure's do.
_OTHERS = (b"api-key", b"x-api-key")


class Authentication:
    """
    Every route asks it, by `Intake.enter` or `Intake.identify`; no path is looked at here.

    `keys` and `tokens` are what opens the gateway; without either it is open to all that reach it.
    """

    def __init__(self, keys: FollowedKeys | None, tokens: Tokens | None, metrics: Metrics) -> None:
        self._keys = keys
        self._tokens = tokens
        self._metrics = metrics

    def start(self) -> None:
        """Begin to follow the file of keys."""
        if self._keys is not None:
            self._keys.start()

    async def close(self) -> None:
        """End what runs in the background."""
        if self._keys is not None:
            await self._keys.close()
        if self._tokens is not None:
            await self._tokens.close()

    async def identify(self, scope: Scope) -> Caller:
        """Who calls. Raises `HTTPError`: 401, or 503 when nobody can tell."""
        if self._keys is None and self._tokens is None:
            return ANYONE
        try:
            caller = await self._find(_secret(scope))
        except Refused as error:
            self._metrics.refused.labels(error.reason).inc()
            raise _unauthorised(str(error)) from None
        except IssuerDown:
            self._metrics.refused.labels("issuer_down").inc()
            raise HTTPError(
                503,
                "The identity provider does not answer; the token cannot be verified.",
                kind="server_error",
                code="issuer_unreachable",
                retry=True,
            ) from None
        scope["embedway.caller"] = caller.name
        return caller

    async def recognise(self, scope: Scope) -> Caller | None:
        """Who calls, if that can be told; whoever cannot say so is not counted as refused."""
        if self._keys is None and self._tokens is None:
            return ANYONE
        try:
            return await self._find(_secret(scope))
        except (Refused, IssuerDown):
            return None

    async def _find(self, secret: bytes | None) -> Caller:
        if secret is None:
            raise Refused(
                "You did not provide an API key. Send it as 'Authorization: Bearer KEY'.",
                reason="no_key",
            )
        # A token has two dots, a key of ours none.
        if self._tokens is not None and not secret.startswith(_PREFIX) and secret.count(b".") == 2:
            return await self._tokens.find(secret)
        if self._keys is None:
            raise Refused("Incorrect token provided.", reason="unknown_key")
        return self._keys.ring.find(secret)


def _secret(scope: Scope) -> bytes | None:
    stated = header(scope, b"authorization")
    if stated is not None:
        scheme, _, secret = stated.partition(b" ")
        if scheme.lower() == b"bearer":
            return secret.strip() or None
    for name in _OTHERS:
        secret = header(scope, name) or b""
        if secret:
            return secret
    return None


def _unauthorised(message: str) -> HTTPError:
    return HTTPError(401, message, code="invalid_api_key", retry=False, challenge="Bearer")
