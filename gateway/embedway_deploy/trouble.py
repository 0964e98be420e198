"""What a refusal or a failure of OCI means, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from embedway_deploy.error import (
    CloudRefused,
    DeployError,
    HealthCheckFailed,
    ImageNotFound,
    LimitExceeded,
    NoCapacity,
    PolicyMissing,
)
from embedway_deploy.plan import Plan

__all__ = ["failure", "told"]

_CAPACITY = re.compile(r"capacity", re.IGNORECASE)
_LIMIT = re.compile(r"LimitExceeded|QuotaExceeded|service limit|quota", re.IGNORECASE)
_IMAGE = re.compile(
    r"image.{0,160}(not found|not exist|pull|unable|denied|invalid)|(pull|fetch).{0,60}image",
    re.IGNORECASE | re.DOTALL,
)
_HEALTH = re.compile(
    r"health|did not (start|become)|container (failed|exited|crash)", re.IGNORECASE
)
_MISSING = re.compile(r"NotAuthorizedOrNotFound|not authorized|authorization failed", re.IGNORECASE)
_LINES = 20


@contextmanager
def told(plan: Plan, doing: str) -> Iterator[None]:
    """Turn what the SDK and ADS raise in the block into an error of ours; `doing` begins it."""
    try:
        yield
    except DeployError:
        raise
    # The last resort, because the SDK and ADS share no root: ServiceError, RequestException,
    # ConnectTimeout, MultipartUploadError, RuntimeError. What is not theirs goes on as it is.
    except Exception as error:
        found = _translated(error, plan, doing)
        if found is None:
            raise
        raise found from None


def failure(words: Sequence[str], *, what: str, log: Sequence[str] = ()) -> DeployError:
    """Why something went into the state FAILED, from what the platform says of it."""
    said = " ".join(word.strip() for word in words if word.strip()) or "OCI does not say why"
    lines = "".join(f"\n    {line}" for line in log[-_LINES:])
    kind, cure = _cause(said)
    tail = f"\n  The last lines of its log:{lines}" if lines else ""
    return kind(f"{what} failed: {cure}\n  OCI says: {said[:800]}{tail}")


def _cause(said: str) -> tuple[type[DeployError], str]:
    if _LIMIT.search(said):
        return LimitExceeded, _LIMIT_CURE
    if _CAPACITY.search(said):
        return NoCapacity, _CAPACITY_CURE
    if _IMAGE.search(said):
        return ImageNotFound, (
            "its image cannot be pulled; it must be in the region's registry (OCIR), and the "
            "dynamic group of the deployment may `read repos` there"
        )
    if _MISSING.search(said):
        return PolicyMissing, "the deployment's dynamic group lacks a policy (see the plan's)"
    if _HEALTH.search(said):
        return HealthCheckFailed, (
            "it never became healthy; look for the reason in its log: too little memory, a model "
            "that is not where the command says, a port that is not the health check's"
        )
    return CloudRefused, "OCI gave up"


_LIMIT_CURE = (
    "a limit of the tenancy is used up; ask for more (Console: Governance, Limits, Data Science), "
    "remove what is not needed, or take another shape"
)
_CAPACITY_CURE = (
    "there is no machine of this shape left at the moment; try later, or take another shape, "
    "another region or a capacity reservation"
)


def _translated(error: Exception, plan: Plan, doing: str) -> DeployError | None:
    module = type(error).__module__.partition(".")[0]
    status = getattr(error, "status", None)
    code, message = str(getattr(error, "code", "")), str(getattr(error, "message", ""))
    if not isinstance(status, int):
        if module == "ads":
            return CloudRefused(f"{doing}: oracle-ads says: {error}")
        reached = module not in {"oci", "requests", "urllib3"}
        if reached and not isinstance(error, ConnectionError | TimeoutError):
            return None
        return CloudRefused(f"{doing}: OCI could not be reached", detail=type(error).__name__)
    request = getattr(error, "request_id", None)
    detail = ", ".join(str(part) for part in (f"status {status}", code, request) if part)
    if status == 401:
        return CloudRefused(
            f"{doing}: OCI does not accept the signature: the key or session is not the user's "
            "(any more), or this machine's clock is wrong",
            detail=detail,
        )
    if status in {403, 404}:
        return PolicyMissing(
            f"{doing}: OCI knows no such resource, or a policy is missing; the plan needs\n"
            + "\n".join(f"    {line}" for line in plan.policies),
            detail=detail,
        )
    if _LIMIT.search(code) or _LIMIT.search(message):
        return LimitExceeded(f"{doing}: {_LIMIT_CURE}", detail=detail)
    if _CAPACITY.search(message):
        return NoCapacity(f"{doing}: {_CAPACITY_CURE}", detail=detail)
    if status == 429:
        return CloudRefused(f"{doing}: OCI asks to slow down; run it again later", detail=detail)
    return CloudRefused(f"{doing}: OCI refused: {message[:400]}", detail=detail)
