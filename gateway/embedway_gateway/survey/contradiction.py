"""Where the configuration says otherwise than the upstream says of itself."""

from __future__ import annotations

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_upstream.engines.probe import Facts

__all__ = ["notes", "too_many_inputs", "unknown_name", "unlike_task"]

# These serve under the names that they tell, and no other; TEI takes any.
_STRICT = frozenset({"infinity", "openai", "ovms", "vllm"})
_SHOWN = 5


def notes(facts: Facts, config: ModelConfig, at_once: int | None) -> tuple[str, ...]:
    """
    What a user should know, though every request is served. `at_once` is how many texts the
    gateway would send.
    """
    found = []
    inputs = facts.limits.max_inputs
    if inputs is not None and at_once is not None and at_once > inputs:
        found.append(
            f"it takes {inputs} texts at once, and the gateway would try {at_once} first: set "
            f"`max_inputs: {inputs}` of the upstream"
        )
    most = facts.limits.max_tokens
    if most is not None and config.max_tokens is not None and config.max_tokens > most:
        found.append(
            f"`max_tokens: {config.max_tokens}` of the model is more than the {most} that the "
            f"upstream takes: write {most}"
        )
    if facts.truncates is False and most is not None:
        found.append(
            f"texts of more than {most} tokens are refused; to have them cut, start the server "
            "with its option for that (tei: --auto-truncate)"
        )
    return tuple(found)


def too_many_inputs(facts: Facts, item: UpstreamConfig) -> str:
    """Empty where the upstream takes what is stated, or nothing is."""
    most = facts.limits.max_inputs
    if most is None or item.max_inputs is None or item.max_inputs <= most:
        return ""
    return (
        f"it refuses more than {most} texts at once, and `max_inputs:` of the upstream says "
        f"{item.max_inputs}: set `max_inputs: {most}`"
    )


def unknown_name(facts: Facts, item: UpstreamConfig, config: ModelConfig) -> str:
    """Empty where the name that is sent is served, or nothing is known of it."""
    sent = item.model or config.name
    if item.engine not in _STRICT or not facts.models or sent in facts.models:
        return ""
    known = ", ".join(repr(name) for name in facts.models[:_SHOWN] if name.isprintable())
    return f"it does not serve {sent!r} but {known}: set `model:` of the upstream"


def unlike_task(facts: Facts, config: ModelConfig) -> str:
    """Empty where the upstream can what the model is declared to, or does not tell."""
    known = [name for name in facts.capabilities if name in {"embed", "rerank", "classify"}]
    lacking = [name for name in config.capabilities if name != "chat" and name not in known]
    if not known or not lacking:
        return ""
    can = " and ".join(known)
    return (
        f"its model can {can}, not {' and '.join(lacking)}: correct `capabilities:` of the model, "
        "or `url:` of the upstream"
    )
