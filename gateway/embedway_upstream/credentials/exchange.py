"""The SDK's signer for exchanged tokens, which never waits for its identity domain without end."""

from __future__ import annotations

from functools import partial

from oci._vendor import requests
from oci.auth.signers import TokenExchangeSigner

__all__ = ["TokenExchange"]

# To connect and to read, as the SDK's own federation clients have it.
_SECONDS = (10, 60)


class TokenExchange(TokenExchangeSigner):  # type: ignore[misc]
    """
    The SDK (2.189) asks without a timeout, so that one silent domain would end every renewal, and
    follows redirects with the token in hand. Where it keeps its session is the place to say so.
    """

    @property
    def requests_session(self) -> requests.Session:
        """As the SDK uses it."""
        return self._session

    @requests_session.setter
    def requests_session(self, session: requests.Session) -> None:
        session.post = partial(session.post, timeout=_SECONDS, allow_redirects=False)
        self._session = session
