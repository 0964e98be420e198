"""Whether the gateway's discovery finds a deployment: a tag says it, written after the check."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from embedway_deploy.kind.work import finished
from embedway_deploy.model import HIDDEN
from embedway_deploy.run import Run
from embedway_deploy.state import State
from embedway_deploy.step import Publication
from embedway_deploy.trouble import told

__all__ = ["PublicationKind", "withdraw"]


class PublicationKind:
    """
    A deployment is created, and updated, with the tag that hides it. A vector that is wrong is
    never asked for through discovery, and a run that ends before this step leaves it hidden.
    """

    def problems(self, step: Publication, run: Run) -> Iterator[str]:
        """None that could be told before it is tried."""
        return iter(())

    def look(self, step: Publication, run: Run) -> State:
        """Present when the deployment bears the tags."""
        found = run.states[step.deployment]
        if not found.id:
            return State(status="absent")
        with told(run.plan, f"reading the tags of {found.id}"):
            held = _tags(run, found.id)
        there = step.tags.items() <= held.items()
        words = "found by discovery" if there else "hidden from discovery"
        return State(status="present" if there else "absent", id=found.id, words=words)

    def make(self, step: Publication, run: Run, state: State) -> State:
        """Write the tags beside those that are there."""
        identity = run.states[step.deployment].id
        run.report.say(f"letting discovery find {identity}")
        with told(run.plan, f"tagging {identity}"):
            _write(run, identity, step.tags)
        return self.look(step, run)

    def remove(self, step: Publication, run: Run) -> bool:
        """It goes with the deployment."""
        return False

    def log(self, step: Publication, run: Run, lines: int) -> list[str]:
        """None."""
        return []


def withdraw(run: Run, identity: str) -> None:
    """Hide a deployment from discovery; nothing is changed where it is hidden."""
    with told(run.plan, f"tagging {identity}"):
        if not HIDDEN.items() <= _tags(run, identity).items():
            _write(run, identity, HIDDEN)


def _tags(run: Run, identity: str) -> dict[str, str]:
    return run.cloud.data_science.get_model_deployment(identity).data.freeform_tags or {}


def _write(run: Run, identity: str, tags: Mapping[str, str]) -> None:
    from oci.data_science import models

    client = run.cloud.data_science
    # OCI exchanges all of them.
    details = models.UpdateModelDeploymentDetails(freeform_tags={**_tags(run, identity), **tags})
    reply = client.update_model_deployment(identity, details)
    if request := reply.headers.get("opc-work-request-id"):
        finished(run, request, f"tagging {identity}")

    def look() -> tuple[bool, int | None, str]:
        state = client.get_model_deployment(identity).data.lifecycle_state
        return state != "UPDATING", None, state

    run.wait(f"tagging {identity}", look)
