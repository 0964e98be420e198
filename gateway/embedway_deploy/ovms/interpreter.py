"""Runs `program.py` in the Python that has OpenVINO."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import as_file, files
from pathlib import Path
from typing import Literal

from embedway_deploy.error import DeployError, Refused

__all__ = ["answered"]

_SECONDS = 3600.0
_MISSING = (
    "needs openvino, openvino-tokenizers, nncf and transformers: pip install "
    '"embedway[deploy-ovms]", or name the Python of an environment that has them with --python'
)


def answered(
    what: Literal["convert", "embed"], order: Mapping[str, object], python: str
) -> Mapping[str, object]:
    """
    The program's answer. Raises `Refused` where OpenVINO is not there, `DeployError` with its last
    lines where it fails.
    """
    with (
        as_file(files("embedway_deploy.ovms") / "program.py") as program,
        tempfile.TemporaryDirectory(prefix="embedway-") as folder,
    ):
        answer = Path(folder) / "answer.json"
        try:
            done = subprocess.run(  # noqa: S603 - the interpreter is the caller's
                [python, "-I", str(program), what, str(answer)],
                input=json.dumps(order),
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DeployError(f"{python} cannot run OpenVINO: {error}") from None
        if "ModuleNotFoundError" in done.stderr and done.returncode != 0:
            raise Refused([f"{python} {_MISSING}"])
        if done.returncode != 0:
            last = done.stderr.strip().splitlines()[-5:]
            raise DeployError(f"{python} cannot {what} it:\n    " + "\n    ".join(last))
        found: Mapping[str, object] = json.loads(answer.read_text("utf-8"))
        return found
