"""Work requests of OCI Data Science: waited for, and asked why they failed."""

from __future__ import annotations

from embedway_deploy.client import listed
from embedway_deploy.run import Run
from embedway_deploy.trouble import failure

__all__ = ["complaints", "finished"]

_OVER = {"SUCCEEDED", "FAILED", "CANCELED"}


def finished(run: Run, request: str, what: str) -> None:
    """Wait for one; raises an error of ours when it failed."""
    status = ""

    def look() -> tuple[bool, int | None, str]:
        nonlocal status
        found = run.cloud.data_science.get_work_request(request).data
        status = found.status
        return status in _OVER, int(found.percent_complete or 0), status

    run.wait(what, look)
    if status != "SUCCEEDED":
        raise failure(_errors(run, request), what=what)


def complaints(run: Run, resource: str) -> list[str]:
    """What the failed work requests of a resource say, the newest first."""
    from oci.exceptions import ServiceError

    try:
        failed = [
            request
            for request in listed(
                run.cloud.data_science.list_work_requests, run.plan.place.compartment_id
            )
            if request.status == "FAILED"
            and any(one.identifier == resource for one in request.resources or [])
        ]
        failed.sort(key=lambda one: one.time_accepted, reverse=True)
        return [line for request in failed for line in _errors(run, request.id)]
    except ServiceError:
        # They explain a failure; that they cannot be read must not hide it.
        return []


def _errors(run: Run, request: str) -> list[str]:
    found = run.cloud.data_science.list_work_request_errors(request).data
    return [f"{one.code}: {one.message}" for one in found]
