"""
Who may say where vectors come from: in LiteLLM's proxy the deployment, and no request.

The proxy's router lays a request's body over the deployment's `litellm_params`, and the proxy
itself keeps only `api_base` and `base_url` out of it, not out of its `fallbacks` and `user_config`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Protocol

from litellm_embedway.option import FIXED, merged

__all__ = ["require_owner"]

_SERVER = "litellm.proxy.proxy_server"


class _Deployment(Protocol):
    """One of the router's models, in LiteLLM's own class of pydantic."""

    model_name: str

    def model_dump(self) -> dict[str, Mapping[str, object]]: ...


class _Router(Protocol):
    def get_deployment(self, model_id: str) -> _Deployment | None: ...
    def get_model_list(self, model_name: str) -> list[Mapping[str, Mapping[str, object]]]: ...


def require_owner(
    options: Mapping[str, object], api_base: str | None, litellm_params: Mapping[str, object] | None
) -> None:
    """
    Raises `ValueError` where a request through the proxy says other than its deployment, or leaves
    out what that says. A call of this program's own may say what it likes.
    """
    given = litellm_params or {}
    asked = given.get("proxy_server_request") is not None
    model_id, router = _model_id(given), _router()
    # `fallbacks` can unset what the proxy notes of a request, but not which model was chosen. A
    # call with neither is the proxy's own, as for its health checks.
    if not asked and (model_id is None or router is None):
        return
    here = _fixed(options, api_base)
    theirs = [{"api_base": api_base}] if router is None else list(_owned(router, model_id))
    if here in theirs:
        return
    if not theirs:
        raise ValueError(
            "embedway/… is served from the proxy's own model_list only: a request cannot bring "
            "deployments of its own (user_config)"
        )
    said = theirs[0]
    wrong = min(name for name in {*here, *said} if here.get(name) != said.get(name))
    raise ValueError(
        f"{wrong} is for the proxy's configuration, in the litellm_params of the model; a request "
        "cannot change it"
    )


def _router() -> _Router | None:
    """The proxy's, whose deployments its administrator wrote; None where this is no proxy."""
    router: _Router | None = getattr(sys.modules.get(_SERVER), "llm_router", None)
    return router


def _model_id(given: Mapping[str, object]) -> str | None:
    info = given.get("model_info")
    found = info.get("id") if isinstance(info, Mapping) else None
    return None if found is None else str(found)


def _owned(router: _Router, model_id: str | None) -> Iterator[Mapping[str, object]]:
    """
    What the administrator says of a deployment. For a request with a key or an address of its own
    the router adds a copy with these to its list, may choose that for later requests, and copy it
    again: of a copy the originals of its name count.
    """
    found = None if model_id is None else router.get_deployment(model_id)
    if found is None:
        return
    own = found.model_dump()
    for one in [own] if _is_original(own) else router.get_model_list(found.model_name):
        if _is_original(one):
            said = one["litellm_params"]
            yield _fixed(said, said.get("api_base") or said.get("base_url"))


def _is_original(deployment: Mapping[str, Mapping[str, object]]) -> bool:
    return deployment["model_info"].get("original_model_id") is None


def _fixed(options: Mapping[str, object], api_base: object) -> dict[str, object]:
    told = {name: value for name, value in merged(options).items() if name in FIXED}
    return {**told, "api_base": api_base}
