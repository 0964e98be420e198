"""What a component of ours is when it is copied, pickled or stored."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping
from typing import Any, Self, SupportsIndex

from llama_index.core.schema import BaseComponent
from pydantic import BaseModel, PrivateAttr

from embedway_client import Client

__all__ = ["Travels"]

_log = logging.getLogger("embedway.client")

_OURS_TO_SHARE = (
    *("callback_manager", "embeddings_cache", "rate_limiter"),
    *("http_client", "http_async_client", "on_usage"),
)
_STAYS = ("http_client", "http_async_client")
_MAY_STAY = ("callback_manager", "embeddings_cache", "rate_limiter")


class Travels(BaseComponent):
    """
    A component over a client. Its copies keep the vector space that was learned and the user's own
    objects; what is pickled has the credentials, what is stored has not.
    """

    _client: Client = PrivateAttr()

    @classmethod
    def _over(cls, client: Client, **fields: Any) -> Self:
        """One past its own constructor, which would connect to a gateway."""
        made = cls.__new__(cls)
        BaseModel.__init__(made, **fields)
        return cls._use(made, client)

    def _use(self, client: Client) -> Self:
        self._client = client
        return self

    def to_dict(self, **options: Any) -> dict[str, Any]:
        """What `from_dict` takes: no key, no headers, no credentials, no cache."""
        deployment = self._client.deployment
        more = {} if deployment is None else {"direct": deployment.shown()}
        return {**super().to_dict(**options), **more}

    def model_copy(self, *, update: Mapping[str, object] | None = None, deep: bool = False) -> Self:
        """A copy; with `update`, one that is checked and connects anew (not one of `direct`)."""
        if not update:
            return super().model_copy(deep=deep)
        if self._client.deployment is not None:
            raise TypeError("what direct() made is not changed in copying; call direct() again")
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self)(**{**fields, **update})

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        return super().__deepcopy__({**(memo or {}), **_shared(dict(self))})

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        # The framework would restore another client, that does not know the vector space.
        return _restored, (type(self), self._client, _packed(dict(self)))


def _restored(kind: type[Travels], client: Client, fields: dict[str, Any]) -> Travels:
    return kind._over(client, **fields)  # noqa: SLF001


def _shared(fields: Mapping[str, object]) -> dict[int, object]:
    """What a deep copy uses too, as a memo of `copy.deepcopy`: connections, caches, callbacks."""
    given = (fields.get(name) for name in _OURS_TO_SHARE)
    return {id(one): one for one in given if one is not None}


def _packed(fields: Mapping[str, object]) -> dict[str, object]:
    """
    The fields as they are pickled: without HTTP clients, and without the cache, the callbacks and
    the rate limiter where they cannot be pickled, which is logged.
    """
    kept = {name: value for name, value in fields.items() if name not in _STAYS}
    for name in _MAY_STAY:
        if name in kept and not _can_be_pickled(kept[name]):
            _log.warning("%s cannot be pickled: a worker process goes on without it", name)
            del kept[name]
    return kept


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, TypeError, AttributeError, NotImplementedError):
        return False
    return True
