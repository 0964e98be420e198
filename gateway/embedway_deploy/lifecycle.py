"""Applies a plan, says how far it is, and undoes it."""

from __future__ import annotations

from embedway_deploy.error import Refused
from embedway_deploy.kind.kind import Removing
from embedway_deploy.kind.registry import kind_of
from embedway_deploy.reference import unreadable
from embedway_deploy.run import Run
from embedway_deploy.state import Done, State

__all__ = ["apply", "destroy", "logs", "problems", "prove", "remains", "status"]


def problems(run: Run) -> list[str]:
    """Why the plan cannot be applied, one sentence each; only reads."""
    found = [problem for step in run.plan.steps for problem in kind_of(step).problems(step, run)]
    return [*found, *unreadable(run.plan)]


def apply(run: Run) -> list[Done]:
    """
    Make what is not there yet. Twice changes nothing, and after an interruption it goes on.

    Raises `Refused` before anything is created, else the `DeployError` of the step that failed;
    what was made until then stays, and is found by the next run.
    """
    if found := problems(run):
        raise Refused(found)
    done = []
    for step in run.plan.steps:
        kind = kind_of(step)
        state = kind.look(step, run)
        changed = state.status not in {"present", "unknown"}
        if state.status != "present":
            state = kind.make(step, run, state)
        run.states[step.name] = state
        done.append(Done(step=step.name, kind=step.kind, changed=changed, state=state))
    return done


def prove(run: Run) -> list[Done]:
    """What can be proved on this machine, without any cloud; raises as `apply` does."""
    proofs = [step for step in run.plan.steps if step.kind == "proof"]
    if found := [one for step in proofs for one in kind_of(step).problems(step, run)]:
        raise Refused(found)
    done = []
    for step in proofs:
        kind = kind_of(step)
        state = kind.make(step, run, kind.look(step, run))
        done.append(Done(step=step.name, kind=step.kind, changed=False, state=state))
    return done


def status(run: Run) -> list[Done]:
    """What there is of each step; only reads."""
    found = []
    for step in run.plan.steps:
        state = run.states[step.name] = kind_of(step).look(step, run)
        found.append(Done(step=step.name, kind=step.kind, changed=False, state=state))
    return found


def remains(run: Run) -> list[tuple[str, list[str]]]:
    """What `destroy` would remove: steps, and words with an id for each thing; only reads."""
    found = []
    for step in reversed(run.plan.steps):
        kind = kind_of(step)
        # Only some remove anything; their `found` takes what their `remove` takes.
        if isinstance(kind, Removing):
            found.append((step.name, kind.found(step, run)))
    return found


def destroy(run: Run) -> list[Done]:
    """Remove everything that bears the plan's name, the last step's first."""
    done = []
    for step in reversed(run.plan.steps):
        changed = kind_of(step).remove(step, run)
        state = State(status="absent")
        done.append(Done(step=step.name, kind=step.kind, changed=changed, state=state))
    return done


def logs(run: Run, *, lines: int = 100) -> list[str]:
    """The last lines that its deployments have written, the oldest first."""
    return [line for step in run.plan.steps for line in kind_of(step).log(step, run, lines)]
