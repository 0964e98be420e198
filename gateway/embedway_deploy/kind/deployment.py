"""A model deployment of OCI Data Science, made with the SDK, found again by its tags."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embedway_deploy.client import Resource, listed
from embedway_deploy.error import CloudRefused
from embedway_deploy.kind.log import printed
from embedway_deploy.kind.specification import create_details, tag_details, update_details
from embedway_deploy.kind.work import complaints, finished
from embedway_deploy.plan import DIGEST_TAG, PLAN_TAG
from embedway_deploy.run import Run
from embedway_deploy.state import State, Status
from embedway_deploy.step import Deployment
from embedway_deploy.trouble import failure, told

if TYPE_CHECKING:
    from oci.data_science.models import UpdateModelDeploymentDetails

__all__ = ["DeploymentKind"]

_GONE = {"DELETED", "DELETING"}
_MOVING = {"CREATING", "UPDATING"}
_STATUS: dict[str, Status] = {
    "ACTIVE": "present",
    "CREATING": "partial",
    "UPDATING": "partial",
    "INACTIVE": "partial",
    "FAILED": "broken",
    "NEEDS_ATTENTION": "broken",
}


class DeploymentKind:
    """
    Another digest is an update in place, which OCI rolls out without an outage. What failed is
    removed and made anew, because OCI updates nothing that has failed.

    Not through ADS: its builders have no field for several inference endpoints, and its waiting
    cannot be taken up again.
    """

    def problems(self, step: Deployment, run: Run) -> Iterator[str]:
        """A region without the shape, or an image that is not in the registry."""
        from embedway_deploy.kind.image import problems as of_image

        with told(run.plan, "listing the shapes of model deployments"):
            method = run.cloud.data_science.list_model_deployment_shapes
            names = sorted(one.name for one in listed(method, run.plan.place.compartment_id))
        if step.shape.name not in names:
            yield (
                f"{run.plan.place.region} has no shape {step.shape.name} for model deployments; "
                f"it has {', '.join(names) or 'none'}"
            )
        if step.container is not None:
            yield from of_image(step.container.image, run)

    def look(self, step: Deployment, run: Run) -> State:
        """The deployment with the plan's name."""
        with told(run.plan, "listing model deployments"):
            found = [one for one in _listed(run) if one.lifecycle_state not in _GONE]
        if not found:
            return State(status="absent")
        return _state(max(found, key=lambda one: one.time_created), run.plan.digest(step))

    def make(self, step: Deployment, run: Run, state: State) -> State:
        """Create, update, activate or wait, whichever is needed; ACTIVE in the end."""
        client, what = run.cloud.data_science, f"deployment {step.display_name}"
        with told(run.plan, what):
            if state.status == "partial" or state.facts.get("state") in _MOVING:
                state = _settled(step, run, state.id, what)
            if state.status == "broken" and state.facts["state"] != "FAILED":
                raise CloudRefused(f"{what} is {state.facts['state']}; look at it in the Console")
            if state.status == "broken":
                run.report.say(f"removing {state.id}, which is {state.facts['state']}")
                client.delete_model_deployment(state.id)
                _gone(run, state.id)
                state = State(status="absent")
            if state.status == "absent":
                run.report.say(f"creating {what}")
                details = create_details(step, run)
                created = client.create_model_deployment(details).data
                state = _settled(step, run, created.id, what)
            elif state.status == "outdated":
                run.report.say(f"updating {what}")
                # The digest comes last: one that was not updated whole must not bear it.
                _update(run, state.id, update_details(step, run, digest=state.facts["digest"]))
                _settled(step, run, state.id, what)
                _update(run, state.id, tag_details(step, run))
                state = _settled(step, run, state.id, what)
        if state.status != "present":
            raise CloudRefused(f"{what} is {state.facts.get('state')} ({state.words})")
        return state

    def remove(self, step: Deployment, run: Run) -> bool:
        """And wait until it is gone, for its model cannot go before it."""
        with told(run.plan, "removing model deployments"):
            found = list(_listed(run))
            for one in found:
                if one.lifecycle_state not in _GONE:
                    run.cloud.data_science.delete_model_deployment(one.id)
            for one in found:
                _gone(run, one.id)
        return bool(found)

    def log(self, step: Deployment, run: Run, lines: int) -> list[str]:
        """What it has printed, the oldest first."""
        with told(run.plan, "reading the log"):
            return printed(step, run, lines)


def _listed(run: Run) -> Iterator[Resource]:
    method = run.cloud.data_science.list_model_deployments
    for one in listed(method, run.plan.place.compartment_id):
        marked = (one.freeform_tags or {}).get(PLAN_TAG) == run.plan.name
        if marked and one.lifecycle_state != "DELETED":
            yield one


def _state(found: Resource, digest: str) -> State:
    state = found.lifecycle_state
    held = (found.freeform_tags or {}).get(DIGEST_TAG, "")
    status = _STATUS.get(state, "broken")
    same = held == digest
    if not same and status != "broken":
        status = "outdated"
    words = f"{found.display_name}, {state}" + ("" if same else ", made from an earlier plan")
    facts = {"state": state, "url": found.model_deployment_url or "", "digest": held}
    return State(status=status, id=found.id, words=words, facts=facts)


def _settled(step: Deployment, run: Run, identity: str, what: str) -> State:
    """Wait until it is neither being made nor changed; raises why it failed."""
    client = run.cloud.data_science
    found = client.get_model_deployment(identity).data
    if found.lifecycle_state == "INACTIVE":
        run.report.say(f"activating {what}")
        client.activate_model_deployment(identity)

    def look() -> tuple[bool, int | None, str]:
        nonlocal found
        found = client.get_model_deployment(identity).data
        over = found.lifecycle_state not in {*_MOVING, "INACTIVE"}
        return over, None, found.lifecycle_state

    run.wait(what, look)
    if found.lifecycle_state == "FAILED":
        words = [found.lifecycle_details or "", *complaints(run, identity)]
        raise failure(words, what=what, log=printed(step, run, 20))
    return _state(found, run.plan.digest(step))


def _update(run: Run, identity: str, details: UpdateModelDeploymentDetails) -> None:
    """And wait for its work request, which alone tells whether it was done."""
    reply = run.cloud.data_science.update_model_deployment(identity, details)
    if request := reply.headers.get("opc-work-request-id"):
        finished(run, request, f"updating {identity}")


def _gone(run: Run, identity: str) -> None:
    def look() -> tuple[bool, int | None, str]:
        state = run.cloud.data_science.get_model_deployment(identity).data.lifecycle_state
        return state == "DELETED", None, state

    run.wait(f"removing {identity}", look)
