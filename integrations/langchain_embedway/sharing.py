"""What copies of an object of ours have in common with it, and what does not travel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeAlias

from pydantic import BaseModel, Field

if TYPE_CHECKING:
    import httpx

    from embedway_client.usage import OnUsage as _OnUsage

    AsyncHTTPClient: TypeAlias = httpx.AsyncClient
    HTTPClient: TypeAlias = httpx.Client
    OnUsage: TypeAlias = _OnUsage
else:
    # pydantic wants them at run time, when httpx would cost more than all the rest; what is given
    # is looked at by the client.
    AsyncHTTPClient = HTTPClient = OnUsage = object

__all__ = ["AsyncHTTPClient", "HTTPClient", "OnUsage", "Shares"]


class Shares(BaseModel):
    """
    A model whose copies use the same clients and callback of the user's. HTTP clients are left
    behind by pickles, which cannot hold them.
    """

    on_usage: OnUsage | None = Field(default=None, exclude=True, repr=False)
    """Called with an `embedway_client.UsageEvent` after every call that succeeded."""
    http_client: HTTPClient | None = Field(default=None, exclude=True, repr=False)
    """An `httpx.Client` to use instead of one of ours; never closed here."""
    http_async_client: AsyncHTTPClient | None = Field(default=None, exclude=True, repr=False)
    """The same for async calls."""

    @classmethod
    def in_words(cls) -> tuple[str, ...]:
        """The keywords whose values can be written as a text."""
        return tuple(name for name, item in cls.model_fields.items() if not item.exclude)

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        given = (self.on_usage, self.http_client, self.http_async_client)
        as_they_are = {id(one): one for one in given if one is not None}
        return super().__deepcopy__({**(memo or {}), **as_they_are})

    def __getstate__(self) -> dict[Any, Any]:
        state = super().__getstate__()
        left = {"http_client": None, "http_async_client": None}
        return {**state, "__dict__": {**state["__dict__"], **left}}
