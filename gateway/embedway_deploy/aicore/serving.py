"""A deployment on SAP AI Core: created, waited for, changed in place, and removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from embedway_deploy.aicore.kind import of_plan, place_of
from embedway_deploy.aicore.step import Serving
from embedway_deploy.error import DeployError
from embedway_deploy.run import Run
from embedway_deploy.state import State, Status
from embedway_deploy.trouble import failure
from embedway_gateway.discovery.field import entries, table, text

__all__ = ["ServingKind"]

_STATUS: dict[str, Status] = {
    "RUNNING": "present",
    "PENDING": "partial",
    "UNKNOWN": "partial",
    "DEAD": "broken",
    # One that was stopped cannot be started again: another is made.
    "STOPPED": "broken",
    "STOPPING": "broken",
    "COMPLETED": "broken",
}


class ServingKind:
    """
    Found by its configuration, for it has no labels. Another configuration is an update in place,
    during which the old one serves on.
    """

    def problems(self, step: Serving, run: Run) -> Iterator[str]:
        """None that could be told before it is tried."""
        return iter(())

    def look(self, step: Serving, run: Run) -> State:
        """The newest deployment of one of the plan's configurations."""
        found = list(_listed(run))
        if not found:
            return State(status="absent")
        newest = max(found, key=lambda one: text(one.get("createdAt")))
        return _state(step, run, newest)

    def make(self, step: Serving, run: Run, state: State) -> State:
        """Create, update or wait, whichever is needed; RUNNING in the end."""
        api, wanted = run.cloud.ai_core, run.states[step.configuration].id
        if state.status == "broken":
            run.report.say(f"removing {state.id}, which is {state.facts['state']}")
            _gone(run, state.id)
            state = State(status="absent")
        if state.status == "absent":
            run.report.say("creating the deployment")
            identity = api.create("/deployments", {"configurationId": wanted})
            return self._settled(step, run, identity)
        if state.status == "outdated":
            run.report.say(f"updating {state.id}")
            api.change(f"/deployments/{state.id}", {"configurationId": wanted})
        return self._settled(step, run, state.id)

    def remove(self, step: Serving, run: Run) -> bool:
        """Every deployment of the plan's configurations; waits until they are gone."""
        found = [text(one.get("id")) for one in _listed(run)]
        for identity in found:
            _gone(run, identity)
        return bool(found)

    def found(self, step: Serving, run: Run) -> list[str]:
        """Every deployment of the plan's configurations, with its state."""
        return [f"{text(one.get('status'))}  {text(one.get('id'))}" for one in _listed(run)]

    def log(self, step: Serving, run: Run, lines: int) -> list[str]:
        """What it has printed, the oldest first."""
        state = self.look(step, run)
        return _printed(run, state.id)[-lines:] if state.id else []

    def _settled(self, step: Serving, run: Run, identity: str) -> State:
        wanted = run.states[step.configuration].id
        found: Mapping[str, object] = {}

        def look() -> tuple[bool, int | None, str]:
            nonlocal found
            found = run.cloud.ai_core.get(f"/deployments/{identity}") or {}
            status = text(found.get("status")) or "UNKNOWN"
            now = text(found.get("latestRunningConfigurationId")) or text(
                found.get("configurationId")
            )
            over = (status == "RUNNING" and now == wanted) or status in {"DEAD", "STOPPED"}
            return over, None, status

        run.wait(f"deployment {identity}", look)
        state = _state(step, run, found)
        if state.status != "present":
            words = [text(found.get("statusMessage")), *_details(found.get("statusDetails"))]
            log = _printed(run, identity)
            raise failure(words, what=f"deployment {identity}", log=log, platform="AI Core")
        return state


def _listed(run: Run) -> Iterator[Mapping[str, object]]:
    scenario = place_of(run.plan).scenario_id
    api = run.cloud.ai_core
    ours = {
        text(one.get("id"))
        for one in api.listed("/configurations", scenarioId=scenario)
        if of_plan(run.plan, text(one.get("name")))
    }
    for one in api.listed("/deployments", scenarioId=scenario):
        if text(one.get("configurationId")) in ours:
            yield one


def _state(step: Serving, run: Run, found: Mapping[str, object]) -> State:
    said = text(found.get("status")) or "UNKNOWN"
    status = _STATUS.get(said, "broken")
    wanted = run.states[step.configuration].id if step.configuration in run.states else ""
    if status in {"present", "partial"} and text(found.get("configurationId")) != wanted:
        status = "outdated"
    runs = text(found.get("latestRunningConfigurationId"))
    if status == "present" and runs and runs != wanted:
        status = "partial"
    url = text(found.get("deploymentUrl"))
    group = place_of(run.plan).resource_group
    facts = {"state": said, "url": url, "resource_group": group}
    return State(status=status, id=text(found.get("id")), words=said, facts=facts)


def _gone(run: Run, identity: str) -> None:
    """Stopped, then deleted: AI Core deletes nothing that runs."""
    api, path = run.cloud.ai_core, f"/deployments/{identity}"
    found = api.get(path)
    if found is None:
        return
    if text(found.get("status")) not in {"STOPPED", "STOPPING", "DEAD"}:
        api.change(path, {"targetStatus": "STOPPED"})

    def stopped() -> tuple[bool, int | None, str]:
        now = api.get(path) or {}
        status = text(now.get("status")) or "gone"
        return status in {"STOPPED", "DEAD", "gone"}, None, status

    def gone() -> tuple[bool, int | None, str]:
        now = api.get(path)
        return now is None, None, "DELETING" if now else "gone"

    run.wait(f"stopping {identity}", stopped)
    api.delete(path)
    run.wait(f"removing {identity}", gone)


def _printed(run: Run, identity: str) -> list[str]:
    try:
        reply = run.cloud.ai_core.get(f"/deployments/{identity}/logs") or {}
    except DeployError:
        # It is read to explain a failure; that it cannot be read must not hide that.
        return []
    lines = [table(one) for one in entries(table(reply.get("data")).get("result"))]
    lines.sort(key=lambda one: text(one.get("timestamp")))
    return [f"{text(one.get('timestamp'))} {text(one.get('msg'))}".strip()[:500] for one in lines]


def _details(value: object) -> list[str]:
    """Every text in it; its form is the backend's."""
    if isinstance(value, dict):
        return [word for one in value.values() for word in _details(one)]
    if isinstance(value, list):
        return [word for one in value for word in _details(one)]
    return [value] if isinstance(value, str) else []
