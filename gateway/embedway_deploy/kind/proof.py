"""Whether what was prepared gives the model's vectors, on this machine and before it costs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from embedway_deploy.run import Run
from embedway_deploy.state import State
from embedway_deploy.step import Proof

__all__ = ["ProofKind"]


class ProofKind:
    """Cannot be found, only done; it runs before anything is created."""

    def problems(self, step: Proof, run: Run) -> Iterator[str]:
        """Files that were changed."""
        yield from step.source.changed()

    def look(self, step: Proof, run: Run) -> State:
        """Unknown."""
        return State(status="unknown", words="is done at the beginning of every run")

    def make(self, step: Proof, run: Run, state: State) -> State:
        """Run it, and compare. Raises `WrongVectors`, or `DeployError` where it does not run."""
        if step.runtime == "openvino":
            return _converted(step, run)
        from embedway_deploy.onnx.verify import verify_onnx

        run.report.say(f"running {step.source.folder}/score.py on this machine")
        found = verify_onnx(
            Path(step.source.folder),
            step.model,
            max_tokens=step.max_tokens,
            pooling=step.pooling,
            agreement=step.agreement,
            python=run.python or sys.executable,
        )
        words = f"{found.texts} texts, worst cosine with the local runtime {found.worst:.6f}"
        return State(status="present", words=words, facts={"cosine": f"{found.worst:.6f}"})

    def remove(self, step: Proof, run: Run) -> bool:
        """There is nothing."""
        return False

    def log(self, step: Proof, run: Run, lines: int) -> list[str]:
        """None."""
        return []


def _converted(step: Proof, run: Run) -> State:
    from embedway_deploy.ovms.verify import verify_ovms

    run.report.say(f"running {step.source.folder} with OpenVINO on this machine")
    found = verify_ovms(
        Path(step.source.folder),
        step.model,
        max_tokens=step.max_tokens,
        agreement=step.agreement,
        tolerance=step.tolerance,
        python=run.python or sys.executable,
    )
    words = (
        f"{found.texts} texts, worst cosine with the local runtime {found.worst:.6f}, largest "
        f"difference {found.difference:.1e}"
    )
    return State(status="present", words=words, facts={"cosine": f"{found.worst:.6f}"})
