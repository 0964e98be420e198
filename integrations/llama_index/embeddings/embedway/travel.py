"""What becomes of the user's own objects when one of ours is copied or pickled."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Mapping

__all__ = ["packed", "shared"]

_log = logging.getLogger("embedway.client")

_OURS_TO_SHARE = (
    *("callback_manager", "embeddings_cache", "rate_limiter"),
    *("http_client", "http_async_client", "on_usage"),
)
_STAYS = ("http_client", "http_async_client")
_MAY_STAY = ("callback_manager", "embeddings_cache", "rate_limiter")


def shared(fields: Mapping[str, object]) -> dict[int, object]:
    """What a deep copy uses too, as a memo of `copy.deepcopy`: connections, caches, callbacks."""
    given = (fields.get(name) for name in _OURS_TO_SHARE)
    return {id(one): one for one in given if one is not None}


def packed(fields: Mapping[str, object]) -> dict[str, object]:
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
