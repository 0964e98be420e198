"""
The one tree of errors, and what each says about trying again.

    EmbeddingError
    ├── InvalidRequest            the caller's mistake; trying again cannot help
    │   ├── UnknownModel
    │   └── InputTooLong          a text exceeds what the model takes
    │       └── BatchTooLarge     only all together do; fewer at once would be taken
    ├── RateLimited               the upstream asks for patience
    ├── UpstreamError             the upstream's fault, or the way to it
    │   ├── UpstreamUnreachable   no connection, or it broke
    │   ├── UpstreamTimeout       no answer in time
    │   ├── UpstreamFailed        an answer that says it cannot
    │   │   └── UpstreamDefect    and that it could not the next time either
    │   ├── UpstreamRefused       it is not what the configuration says; never the caller's 401
    │   ├── BadReply              an answer that cannot be trusted
    │   │   └── BadVector         and it is known of which texts
    │   └── WrongSpace            its vectors are not comparable with the model's
    └── Overloaded                we have no slot, upstream or budget left for the request
        └── DeadlineExceeded
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Self

__all__ = [
    "BadReply",
    "BadVector",
    "BatchTooLarge",
    "DeadlineExceeded",
    "EmbeddingError",
    "InputTooLong",
    "InvalidRequest",
    "Overloaded",
    "RateLimited",
    "UnknownModel",
    "UpstreamDefect",
    "UpstreamError",
    "UpstreamFailed",
    "UpstreamRefused",
    "UpstreamTimeout",
    "UpstreamUnreachable",
    "WrongSpace",
]


class EmbeddingError(Exception):
    """
    Root of the tree.

    `message` is written for the caller: it never holds inputs, secrets, URLs or an upstream's
    own words. `detail` is for our log only.
    """

    retryable: ClassVar[bool] = False
    most_retries: int | None = None
    """Fewer than the caller's own bound, where another try is dear or of little hope."""

    def __init__(
        self,
        message: str,
        *,
        upstream: str | None = None,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.upstream = upstream
        self.retry_after = retry_after
        """Seconds that the upstream asked for."""
        self.detail = detail

    def own(self) -> Self:
        """
        The same error anew, for one of several who wait for one thing: what is noted on it on the
        way to him is not the others' then. `raise error.own() from error`.
        """
        # `copy` would call constructors, which ask for what `args` lack.
        own = type(self).__new__(type(self), *self.args)
        own.__dict__.update(self.__dict__)
        return own


class InvalidRequest(EmbeddingError):
    """The request itself is wrong; `param` names the field."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        upstream: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, upstream=upstream, detail=detail)
        self.param = param
        self.code = code


class UnknownModel(InvalidRequest):
    """No model of that name is served."""


class InputTooLong(InvalidRequest):
    """A text exceeds what the model takes; `limit` is the most tokens, where the engine told."""

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        limit: int | None = None,
        upstream: str | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message, param=param, code=code, upstream=upstream, detail=detail)
        self.limit = limit


class BatchTooLarge(InputTooLong):
    """
    The texts together exceed what the engine takes: in number, in bytes or in tokens. Half of
    them may pass; a single one that meets this is too long.

    `limit` is the most texts at once, where the engine told.
    """


class RateLimited(EmbeddingError):
    """The upstream, or a limit of ours, asks to slow down."""

    retryable = True


class UpstreamError(EmbeddingError):
    """The upstream failed, or could not be reached."""

    retryable = True


class UpstreamUnreachable(UpstreamError):
    """No connection could be made, or it broke."""

    reached: ClassVar[bool] = False
    """Whether there was a connection, which then broke."""


class UpstreamTimeout(UpstreamError):
    """No answer in time."""

    fewer_may_pass: bool = False
    """Whether there were several texts, and it took so long that fewer may have an answer."""


class UpstreamFailed(UpstreamError):
    """The upstream answered that it failed."""


class UpstreamDefect(UpstreamFailed):
    """The upstream fails on this request whenever it is sent: trying again only adds load."""

    retryable = False


class UpstreamRefused(UpstreamError):
    """
    The upstream does not accept our credentials, does not know the model, or is not the engine
    that the configuration says; another upstream may serve.
    """


class BadReply(UpstreamError):
    """The upstream answered 200 with something that is not the right vectors."""

    # An overloaded one may do so once; what stays wrong only costs it more work.
    most_retries: int | None = 1


class BadVector(BadReply):
    """
    A reply that is right but for the vectors of some texts, or of the only one: not finite, null
    or zeros. As a rule it is about these texts, and the upstream embeds others.

    `what` says what is wrong with them, and `rows` which they are, counted from 0: of the request,
    or of the call of whoever catches it. The message names them, and never more than eight.
    """

    def __init__(
        self,
        what: str,
        *,
        rows: Iterable[int] = (),
        upstream: str | None = None,
        detail: str = "",
    ) -> None:
        self.what = what
        self.rows = tuple(rows)
        super().__init__(_about(what, self.rows), upstream=upstream, detail=detail)

    @property
    def named(self) -> tuple[int, ...]:
        """Those of `rows` that the message names."""
        return self.rows[:_MOST_NAMED]

    def count(self, rows: Iterable[int]) -> None:
        """Tell of the same texts where they have other numbers: in a request that was cut, say."""
        self.rows = tuple(rows)
        before, self.message = self.message, _about(self.what, self.rows)
        # A client may have put more behind it.
        self.args = (str(self.args[0]).replace(before, self.message, 1),)


# Who reads them looks at the first ones.
_MOST_NAMED = 8


def _about(what: str, rows: Sequence[int]) -> str:
    if not rows:
        return what
    if len(rows) == 1:
        return f"{what} for the text at index {rows[0]}; change that text or leave it out"
    named = ", ".join(map(str, rows[:_MOST_NAMED]))
    more = f" and {len(rows) - _MOST_NAMED} more" if len(rows) > _MOST_NAMED else ""
    return f"{what} for the texts at index {named}{more}; change those texts or leave them out"


class WrongSpace(UpstreamError):
    """The upstream's vectors cannot be compared with those of the model's other upstreams."""


class Overloaded(EmbeddingError):
    """There is no capacity for the request now."""


class DeadlineExceeded(Overloaded):
    """The request's deadline passed before an answer came."""
