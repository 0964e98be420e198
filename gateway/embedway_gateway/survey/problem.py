"""Why an upstream does not serve, or soon will not, in words that name the cure."""

from __future__ import annotations

from collections.abc import Sequence

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.leaf import Leaf
from embedway_gateway.survey.advice import advice, is_foreign, status_of
from embedway_gateway.survey.ask import Told, recognise
from embedway_gateway.survey.call import Called
from embedway_gateway.survey.contradiction import too_many_inputs, unknown_name
from embedway_gateway.survey.means import Means
from embedway_upstream import (
    CredentialsError,
    EmbeddingError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from embedway_upstream.engines.probe import Facts

__all__ = ["problem_of", "reachable", "told_in_full"]


async def problem_of(
    calls: Sequence[Called],
    *,
    told: Told,
    leaf: Leaf,
    item: UpstreamConfig,
    config: ModelConfig,
    means: Means,
) -> str:
    """One paragraph; empty where all is well."""
    errors = {call.task: call.error for call in calls if call.error is not None}
    if not calls and told.trouble is not None:
        errors["chat"] = told.trouble
    if not errors:
        return _foreseen(calls, told.facts, item, config)
    said: dict[str, None] = {}
    for task, error in errors.items():
        sentences = [told_in_full(error), *advice(error, told.facts, item, config, means)]
        if leaf.endpoint is not None and is_foreign(error) and told.facts == Facts():
            sentences += _likeness(await recognise(leaf.endpoint, means.transport), item)
        begin = f"to {task}: " if len(calls) > 1 and len(errors) < len(calls) else ""
        said[begin + ". ".join(sentences)] = None
    return ". ".join(said)


def reachable(told: Told, calls: Sequence[Called]) -> bool | None:
    """Whether anything answered; None when nothing was sent."""
    errors = [call.error for call in calls if call.error is not None]
    if told.reachable or len(errors) < len(calls):
        return True
    sent = [error for error in errors if not isinstance(error, CredentialsError)]
    if not sent:
        return told.reachable
    lost = UpstreamTimeout | UpstreamUnreachable
    return any(not isinstance(error, lost) or status_of(error) is not None for error in sent)


def told_in_full(error: EmbeddingError) -> str:
    """The message, and what else is for the operator alone."""
    detail = f" ({error.detail.splitlines()[0]})" if error.detail else ""
    return f"{error.message}{detail}"


def _foreseen(
    calls: Sequence[Called], facts: Facts, item: UpstreamConfig, config: ModelConfig
) -> str:
    """What the calls did not meet, but requests will."""
    for call in calls:
        if config.dimensions is not None and call.size not in {None, config.dimensions}:
            return (
                f"its vectors have {call.size} dimensions, and the model's `dimensions:` says "
                f"{config.dimensions}: correct that, unless `url:` or `model:` of the upstream "
                "names another model"
            )
    return unknown_name(facts, item, config) if not calls else too_many_inputs(facts, item)


def _likeness(found: tuple[str, str | None], item: UpstreamConfig) -> list[str]:
    engine, version = found
    if not engine or engine == item.engine:
        return []
    named = f"{engine} {version}" if version else engine
    return [f"It answers as {named} does: set `engine: {engine}` of the upstream"]
