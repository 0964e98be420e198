"""Makes what lets callers in, bounds them and counts them, and ends it with the process."""

from __future__ import annotations

from embedway_gateway.access.follow import FollowedKeys
from embedway_gateway.config.limits import make_quota
from embedway_gateway.config.schema import Config
from embedway_gateway.config.usage import make_book, usage_of
from embedway_gateway.metric import Metrics
from embedway_gateway.usage.tally import Tally
from embedway_gateway.web.authentication import Authentication
from embedway_gateway.web.charge import Till
from embedway_upstream.flow import StreamTransport

__all__ = ["Guard"]


class Guard:
    """
    Of one process, from its first configuration: another file of keys, issuer, or place of limits
    or usage needs a restart. Raises `KeysError` for a file of keys that cannot be used, unless
    `keys` is what was in it when it was last good.
    """

    def __init__(
        self,
        config: Config,
        transport: StreamTransport,
        metrics: Metrics,
        *,
        keys: bytes | None = None,
    ) -> None:
        server = config.server
        followed = None if server.keys is None else FollowedKeys(server.keys, last=keys)
        tokens = None
        if server.oidc is not None:
            # Imported here: it is an extra of its own.
            from embedway_gateway.access.token import Tokens

            tokens = Tokens(server.oidc, transport)
        self.authentication = Authentication(followed, tokens, metrics)
        usage = usage_of(config)
        tally = None if usage is None else Tally(make_book(usage, server.keys, metrics), metrics)
        self.till = Till(make_quota(config.limits, metrics), metrics, tally)

    def start(self) -> None:
        """Begin what runs in the background."""
        self.authentication.start()
        self.till.quota.start()
        if self.till.tally is not None:
            self.till.tally.start()

    async def close(self) -> None:
        """End it; what was counted is written down."""
        await self.authentication.close()
        await self.till.quota.close()
        if self.till.tally is not None:
            await self.till.tally.close()
