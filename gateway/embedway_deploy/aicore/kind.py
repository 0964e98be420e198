"""Templates, artifacts and configurations on SAP AI Core: found again, and made."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from embedway_deploy.aicore.place import AICorePlace
from embedway_deploy.aicore.step import Artifact, Configuration, Executable
from embedway_deploy.error import Refused
from embedway_deploy.plan import DIGEST_TAG, PLAN_TAG, Plan
from embedway_deploy.run import Run
from embedway_deploy.state import State
from embedway_gateway.discovery.field import entries, table, text

__all__ = ["ArtifactKind", "ConfigurationKind", "ExecutableKind", "of_plan", "place_of"]

_LABEL = "ext.ai.sap.com/"
_STAYS = "stays: AI Core removes none"


def place_of(plan: Plan) -> AICorePlace:
    """The plan's place, which is one on AI Core."""
    assert isinstance(plan.place, AICorePlace)
    return plan.place


def of_plan(plan: Plan, configuration: str) -> bool:
    """Whether a configuration of that name is the plan's, of this version or of an earlier one."""
    return re.fullmatch(rf"{re.escape(plan.name)}-[0-9a-f]{{12}}", configuration) is not None


class ExecutableKind:
    """AI Core makes them itself, of the templates in the repositories that it reads."""

    def problems(self, step: Executable, run: Run) -> Iterator[str]:
        """Files that were changed, or a template that is not there, or is another version."""
        yield from step.source.changed()
        found = _executable(step, run)
        where = f"{step.source.folder}/serving-template.yaml"
        cure = f"commit {where} to the repository that AI Core reads, and wait until it has"
        if found is None:
            scenario = place_of(run.plan).scenario_id
            yield f"scenario {scenario} has no executable {step.executable_id}: {cure}"
            return
        known = {text(table(one).get("name")) for one in entries(found.get("parameters"))}
        taken = {text(table(one).get("name")) for one in entries(found.get("inputArtifacts"))}
        lacking = sorted({*step.parameters} - known | {step.artifact} - taken)
        if lacking:
            yield f"executable {step.executable_id} does not know {', '.join(lacking)}: {cure}"
        elif text(found.get("description")).rpartition(" ")[2] != step.version:
            yield f"executable {step.executable_id} is of another version of the template: {cure}"

    def look(self, step: Executable, run: Run) -> State:
        """Whether AI Core has read it."""
        if _executable(step, run) is None:
            return State(status="absent", words="AI Core has not read the template")
        return State(status="present", id=step.executable_id, words="read by AI Core")

    def make(self, step: Executable, run: Run, state: State) -> State:
        """It cannot be made from here. Raises `Refused`."""
        raise Refused(list(self.problems(step, run)))

    def remove(self, step: Executable, run: Run) -> bool:
        """It goes when its file is removed from the repository."""
        return False

    def log(self, step: Executable, run: Run, lines: int) -> list[str]:
        """None."""
        return []


class ArtifactKind:
    """A name for files in an object store, with labels by which it is found again."""

    def problems(self, step: Artifact, run: Run) -> Iterator[str]:
        """Files that were changed."""
        yield from step.source.changed()

    def look(self, step: Artifact, run: Run) -> State:
        """The artifact with the plan's name and the step's digest."""
        wanted = run.plan.digest(step)
        scenario = place_of(run.plan).scenario_id
        for found in run.cloud.ai_core.listed("/artifacts", scenarioId=scenario, kind="model"):
            labels = _labels(found)
            if labels.get(PLAN_TAG) == run.plan.name and labels.get(DIGEST_TAG) == wanted:
                return State(status="present", id=text(found.get("id")), words=step.url)
        return State(status="absent")

    def make(self, step: Artifact, run: Run, state: State) -> State:
        """Register it."""
        run.report.say(f"registering {step.url}")
        body = {
            "name": step.display_name,
            "kind": "model",
            "url": step.url,
            "description": step.description,
            "scenarioId": place_of(run.plan).scenario_id,
            "labels": [
                {"key": f"{_LABEL}{PLAN_TAG}", "value": run.plan.name},
                {"key": f"{_LABEL}{DIGEST_TAG}", "value": run.plan.digest(step)},
            ],
        }
        identity = run.cloud.ai_core.create("/artifacts", body)
        return State(status="present", id=identity, words=step.url)

    def remove(self, step: Artifact, run: Run) -> bool:
        """AI Core has no way to."""
        run.report.say(f"artifact {step.display_name} {_STAYS}; its files are yours to remove")
        return False

    def log(self, step: Artifact, run: Run, lines: int) -> list[str]:
        """None."""
        return []


class ConfigurationKind:
    """Found by its name, which ends with the digest, for it has no labels."""

    def problems(self, step: Configuration, run: Run) -> Iterator[str]:
        """None: what it names is checked by the steps before."""
        return iter(())

    def look(self, step: Configuration, run: Run) -> State:
        """The configuration of that name."""
        wanted, scenario = _name(step, run), place_of(run.plan).scenario_id
        for found in run.cloud.ai_core.listed("/configurations", scenarioId=scenario):
            if text(found.get("name")) == wanted:
                return State(status="present", id=text(found.get("id")), words=wanted)
        return State(status="absent")

    def make(self, step: Configuration, run: Run, state: State) -> State:
        """Create it."""
        name = _name(step, run)
        executable = run.plan.step(step.executable)
        assert isinstance(executable, Executable)
        run.report.say(f"creating configuration {name}")
        body = {
            "name": name,
            "executableId": executable.executable_id,
            "scenarioId": place_of(run.plan).scenario_id,
            "parameterBindings": [
                {"key": key, "value": value} for key, value in step.parameters.items()
            ],
            "inputArtifactBindings": [
                {"key": executable.artifact, "artifactId": run.states[step.artifact].id}
            ],
        }
        identity = run.cloud.ai_core.create("/configurations", body)
        return State(status="present", id=identity, words=name)

    def remove(self, step: Configuration, run: Run) -> bool:
        """AI Core has no way to."""
        run.report.say(f"configuration {_name(step, run)} {_STAYS}")
        return False

    def log(self, step: Configuration, run: Run, lines: int) -> list[str]:
        """None."""
        return []


def _name(step: Configuration, run: Run) -> str:
    return f"{run.plan.name}-{run.plan.digest(step)[:12]}"


def _executable(step: Executable, run: Run) -> Mapping[str, object] | None:
    scenario = place_of(run.plan).scenario_id
    reply = run.cloud.ai_core.get(f"/scenarios/{scenario}/executables") or {}
    listed = (table(one) for one in entries(reply.get("resources")))
    return next((one for one in listed if text(one.get("id")) == step.executable_id), None)


def _labels(found: Mapping[str, object]) -> dict[str, str]:
    pairs = (table(one) for one in entries(found.get("labels")))
    return {text(one.get("key")).removeprefix(_LABEL): text(one.get("value")) for one in pairs}
