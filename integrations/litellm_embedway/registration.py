"""How LiteLLM comes to know `embedway/…`, and what it hands over for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import litellm
from litellm import main
from litellm.llms.custom_llm import CustomLLM
from litellm.utils import custom_llm_setup

__all__ = ["Given", "announce", "require_announced"]

_PROVIDER = "embedway"
_HOOK = "get_optional_params_embeddings"
# LiteLLM's own, which say nothing about the vectors.
_NOT_OURS = {
    *("model", "custom_llm_provider", "drop_params", "additional_drop_params"),
    "allowed_openai_params",
    "max_tokens",  # Of the proxy's health checks, whatever the model does.
}

_Parameters = Callable[..., Mapping[str, object]]


class Given(dict[str, object]):
    """A call's parameters, of which LiteLLM dropped none."""


class _Whole:
    """
    LiteLLM's choice of parameters for embeddings, but for ours: all of them.

    For a custom provider it refuses `dimensions`, `encoding_format` and `user`, or with
    `drop_params` drops them without a word, and vectors of another size come. It has no setting
    for one provider. Its list `openai_compatible_providers` would do, and would also send chats,
    images and speech of `embedway/…` to api.openai.com.
    """

    def __init__(self, theirs: _Parameters) -> None:
        self._theirs = theirs

    def __call__(self, *args: object, **named: object) -> Mapping[str, object]:
        if named.get("custom_llm_provider") != _PROVIDER:
            return self._theirs(*args, **named)
        return Given(
            (name, value)
            for name, value in named.items()
            if name not in _NOT_OURS and value is not None
        )


def announce(ours: CustomLLM) -> None:
    """Make `ours` the provider, in this process; a second call changes nothing."""
    theirs = getattr(main, _HOOK, None)
    if theirs is None:
        raise ImportError("litellm_embedway does not know this version of LiteLLM; 1.83 works")
    if not isinstance(theirs, _Whole):
        setattr(main, _HOOK, _Whole(theirs))
    if all(item["provider"] != _PROVIDER for item in litellm.custom_provider_map):
        litellm.custom_provider_map.append({"provider": _PROVIDER, "custom_handler": ours})
    # Now, because it takes the map into its list of providers only when a call begins.
    custom_llm_setup()  # type: ignore[no-untyped-call]


def require_announced(options: Mapping[str, object]) -> None:
    """Raises `ValueError` where parameters may have been dropped on the way."""
    if not isinstance(options, Given):
        raise ValueError(  # noqa: TRY004 - nothing that the caller passed is of a wrong type
            "litellm_embedway.register() was not called in this process, so LiteLLM may have "
            "dropped parameters; call it first, in the proxy in the file that custom_handler names"
        )
