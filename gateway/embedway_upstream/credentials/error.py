"""Why no call can be signed."""

from __future__ import annotations

from embedway_upstream.error import UpstreamRefused

__all__ = ["CredentialsError", "LoginDown"]


class CredentialsError(UpstreamRefused):
    """
    Our own credentials cannot be used; nothing was sent.

    `message` names the cure, without paths or names, because it may travel to a caller far away.
    `detail` says where: a path, a profile, the kind of a failure. Neither ever holds a secret, and
    `str()` shows both to whoever has the traceback.
    """

    def __init__(
        self,
        message: str,
        *,
        upstream: str | None = None,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, upstream=upstream, retry_after=retry_after, detail=detail)
        if detail:
            self.args = (f"{message} ({detail})",)

    def again(self) -> CredentialsError:
        """The same for another caller: an exception that is raised twice mixes two tracebacks."""
        return type(self)(
            self.message, upstream=self.upstream, retry_after=self.retry_after, detail=self.detail
        )


class LoginDown(CredentialsError):
    """Whoever gives the tokens does not answer now; unlike a refusal, that may pass."""
