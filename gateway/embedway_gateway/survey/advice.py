"""What the configuration, and the upstream itself, add to an upstream's error."""

from __future__ import annotations

import re

from embedway_gateway.config.schema import ModelConfig, UpstreamConfig
from embedway_gateway.survey.contradiction import unknown_name, unlike_task
from embedway_gateway.survey.means import Means
from embedway_upstream import (
    CredentialsError,
    EmbeddingError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from embedway_upstream.engines.probe import Facts

__all__ = ["advice", "is_foreign", "status_of"]

_STATUS = re.compile(r"status (\d{3})\b")


def status_of(error: EmbeddingError) -> int | None:
    """The status that the error was read from; None where no answer came."""
    found = _STATUS.match(error.detail)
    return int(found[1]) if found else None


def is_foreign(error: EmbeddingError) -> bool:
    """Whether another engine than the configuration says may have answered."""
    away = isinstance(error, CredentialsError | UpstreamTimeout | UpstreamUnreachable)
    return not away and status_of(error) not in {401, 403, 429, 502, 503, 504}


def advice(
    error: EmbeddingError,
    facts: Facts,
    item: UpstreamConfig,
    config: ModelConfig,
    means: Means,
) -> list[str]:
    """Sentences, the likeliest cause first; none where the error says it all."""
    if isinstance(error, CredentialsError):
        return []
    if isinstance(error, UpstreamTimeout) and status_of(error) is None:
        return [_slow(means.patience(item))]
    said = [_on_oci(error, item, means), _refused(error, item)]
    if is_foreign(error):
        said += [unlike_task(facts, config), unknown_name(facts, item, config)]
    return [sentence[0].upper() + sentence[1:] for sentence in said if sentence]


def _slow(seconds: float) -> str:
    return (
        f"Nothing came for {seconds:g} s: is it overloaded, or still starting? For one that is "
        "slow, raise --timeout and its `timeout:`"
    )


def _refused(error: EmbeddingError, item: UpstreamConfig) -> str:
    if item.credentials is None and status_of(error) in {401, 403}:
        return "none are configured: the server wants an API key; add `credentials:`, type bearer"
    return ""


def _on_oci(error: EmbeddingError, item: UpstreamConfig, means: Means) -> str:
    if item.platform != "oci":
        return ""
    # Imported here: they bring cryptography, which only OCI's signatures need.
    from embedway_upstream.credentials.oci import OCISignature
    from embedway_upstream.platforms.oci_region import region_conflict

    if elsewhere := region_conflict(item.url or ""):
        return elsewhere
    login = means.login(item)
    if status_of(error) == 401 and isinstance(login, OCISignature):
        # Where the clock is wrong, that is the cause.
        return "" if "set the clock" in error.message else login.doubt()
    if not is_foreign(error) or "NotAuthorizedOrNotFound" in error.detail:
        return ""
    return _invocation(item)


def _invocation(item: UpstreamConfig) -> str:
    from embedway_upstream.engines.registry import ENGINES, Options

    path = item.path or ENGINES[item.engine](Options()).path
    if item.engine == "onnx":
        return ""
    if item.invoke == "predict":
        return (
            f"with `invoke: predict` its container is asked at /predict, unless its environment "
            f"has MODEL_DEPLOY_PREDICT_ENDPOINT={path}: set that, or call it with `invoke: suffix` "
            "(deployments with predictApiSpecification openai) or `invoke: route` (AI Quick "
            "Actions)"
        )
    if item.invoke == "suffix":
        return (
            f"`invoke: suffix` needs a deployment that offers {path}: with predictApiSpecification "
            "openai, or a custom endpoint"
        )
    return "`invoke: route` is understood by the containers of AI Quick Actions only"
