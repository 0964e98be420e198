"""What can go wrong while something is deployed; every message names the cure."""

from __future__ import annotations

__all__ = [
    "CloudRefused",
    "DeployError",
    "HealthCheckFailed",
    "ImageNotFound",
    "LimitExceeded",
    "NoCapacity",
    "PolicyMissing",
    "Refused",
    "WrongVectors",
]


class DeployError(Exception):
    """Root of the errors of deploying. `detail` is the platform's own code and request id."""

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(f"{message} ({detail})" if detail else message)
        self.detail = detail


class Refused(DeployError):
    """Wrong input: nothing was created. `problems` holds one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(["Nothing was created:", *(f"  {one}" for one in problems)]))
        self.problems = problems


class CloudRefused(DeployError):
    """The platform said no, for another reason than those below."""


class NoCapacity(DeployError):
    """There is no machine of the shape left, at the moment."""


class LimitExceeded(DeployError):
    """A service limit or a quota of the tenancy is used up."""


class PolicyMissing(DeployError):
    """A policy is missing, or the resource is: the platform does not tell which."""


class ImageNotFound(DeployError):
    """The container's image cannot be pulled."""


class HealthCheckFailed(DeployError):
    """What was deployed did not become healthy; the message ends with its log."""


class WrongVectors(DeployError):
    """It answers, but not with the model's vectors."""
