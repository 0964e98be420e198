"""A model deployment of OCI Data Science, made with the SDK, found again by its tags."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from embedway_deploy.client import Resource, listed
from embedway_deploy.error import CloudRefused
from embedway_deploy.kind.log import printed
from embedway_deploy.kind.specification import (
    create_details,
    group_details,
    tag_details,
    update_details,
)
from embedway_deploy.kind.update import difference
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
    Another digest is an update: in place where OCI rolls that out without an outage, else while the
    deployment is inactive, which is an outage (`kind/update.py`). What failed is removed and made
    anew, because OCI updates nothing that has failed.

    Not through ADS: its builders have no field for several inference endpoints, and its waiting
    cannot be taken up again.
    """

    def problems(self, step: Deployment, run: Run) -> Iterator[str]:
        """A region without the shape, an image that is not there, or what no update takes away."""
        from embedway_deploy.kind.image import problems as of_image

        with told(run.plan, "listing the shapes of model deployments"):
            method = run.cloud.data_science.list_model_deployment_shapes
            names = sorted(one.name for one in listed(method, run.plan.oci.compartment_id))
        if step.shape.name not in names:
            yield (
                f"{run.plan.oci.region} has no shape {step.shape.name} for model deployments; "
                f"it has {', '.join(names) or 'none'}"
            )
        if step.container is not None:
            yield from of_image(step.container.image, run)
        yield from _lasting(step, run)

    def look(self, step: Deployment, run: Run) -> State:
        """The deployment with the plan's name."""
        with told(run.plan, "listing model deployments"):
            found = _newest(run)
        return State(status="absent") if found is None else _state(step, run, found)

    def make(self, step: Deployment, run: Run, state: State) -> State:
        """Create, update, activate or wait, whichever is needed; ACTIVE in the end."""
        client, what = run.cloud.data_science, f"deployment {step.display_name}"
        with told(run.plan, what):
            if state.facts.get("state") in _MOVING:
                state = _state(step, run, _still(step, run, state.id, what))
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
                _change(step, run, state, what)
                _settled(step, run, state.id, what)
                # The digest comes last: one that was not updated whole must not bear it.
                _update(run, state.id, tag_details(step, run))
            if state.status in {"outdated", "partial"}:
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

    def found(self, step: Deployment, run: Run) -> list[str]:
        """Every one that bears the plan's name, with its state."""
        with told(run.plan, "listing model deployments"):
            return [f"{one.display_name}, {one.lifecycle_state}  {one.id}" for one in _listed(run)]

    def log(self, step: Deployment, run: Run, lines: int) -> list[str]:
        """What it has printed, the oldest first."""
        with told(run.plan, "reading the log"):
            return printed(step, run, lines)


def _listed(run: Run) -> Iterator[Resource]:
    method = run.cloud.data_science.list_model_deployments
    for one in listed(method, run.plan.oci.compartment_id):
        marked = (one.freeform_tags or {}).get(PLAN_TAG) == run.plan.name
        if marked and one.lifecycle_state != "DELETED":
            yield one


def _newest(run: Run) -> Resource | None:
    found = [one for one in _listed(run) if one.lifecycle_state not in _GONE]
    return max(found, key=lambda one: one.time_created, default=None)


def _lasting(step: Deployment, run: Run) -> Iterator[str]:
    with told(run.plan, "listing model deployments"):
        found = _newest(run)
    if found is None or found.lifecycle_state == "FAILED":
        return
    if (found.freeform_tags or {}).get(DIGEST_TAG) == run.plan.digest(step):
        return
    if lasting := difference(found, step, run).lasting:
        words = " and ".join(one.removeprefix("its ") for one in lasting)
        yield (
            f"{found.id} has {words}, which the plan has not, and which no update takes away: "
            "deploy under another --name, or destroy this one first"
        )


def _state(step: Deployment, run: Run, found: Resource) -> State:
    state, digest = found.lifecycle_state, run.plan.digest(step)
    held = (found.freeform_tags or {}).get(DIGEST_TAG, "")
    status = _STATUS.get(state, "broken")
    same = held == digest
    if not same and status != "broken":
        status = "outdated"
    words = f"{found.display_name}, {state}" + ("" if same else ", made from an earlier plan")
    facts = {"state": state, "url": found.model_deployment_url or "", "digest": held}
    if status == "outdated" and (outage := difference(found, step, run).outage):
        facts["outage"] = ", ".join(outage)
        words += f", to be changed while inactive: {facts['outage']}"
    return State(status=status, id=found.id, words=words, facts=facts)


def _settled(step: Deployment, run: Run, identity: str, what: str) -> State:
    """Wait until it is neither being made nor changed, and is active; raises why it failed."""
    found = _still(step, run, identity, what)
    if found.lifecycle_state == "INACTIVE":
        run.report.say(f"activating {what}")
        run.cloud.data_science.activate_model_deployment(identity)
        found = _still(step, run, identity, what, also={"INACTIVE"})
    return _state(step, run, found)


def _still(
    step: Deployment, run: Run, identity: str, what: str, *, also: Collection[str] = ()
) -> Resource:
    """Once it is in none of the states that pass, `also` among them; raises why it failed."""
    found: Resource | None = None

    def look() -> tuple[bool, int | None, str]:
        nonlocal found
        found = run.cloud.data_science.get_model_deployment(identity).data
        return found.lifecycle_state not in {*_MOVING, *also}, None, found.lifecycle_state

    run.wait(what, look)
    assert found is not None
    if found.lifecycle_state == "FAILED":
        words = [found.lifecycle_details or "", *complaints(run, identity)]
        raise failure(words, what=what, log=printed(step, run, 20))
    return found


def _change(step: Deployment, run: Run, state: State, what: str) -> None:
    """What differs, apart from names and tags; it may be left inactive."""
    client, identity = run.cloud.data_science, state.id
    found = client.get_model_deployment(identity).data
    differs = difference(found, step, run)
    inactive = found.lifecycle_state == "INACTIVE"
    if differs.outage and not inactive:
        run.report.say(
            f"deactivating {what} ({identity}): OCI changes {', '.join(differs.outage)} only then; "
            "calls of it fail until it is active again"
        )
        reply = client.deactivate_model_deployment(identity)
        if request := reply.headers.get("opc-work-request-id"):
            finished(run, request, f"deactivating {identity}")
        _still(step, run, identity, what, also={"ACTIVE"})
        inactive = True
    run.report.say(f"updating {what}")
    if inactive and (differs.outage or differs.live):
        _update(run, identity, update_details(step, run, digest=state.facts["digest"]))
        _still(step, run, identity, what)
    for group in () if inactive else differs.live:
        _update(run, identity, group_details(step, run, group))
        _still(step, run, identity, what)


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
