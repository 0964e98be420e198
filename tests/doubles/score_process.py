"""A folder's `score.py` in a process of its own, called as OCI's scoring server calls it."""

from __future__ import annotations

import json
import subprocess
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PROGRAM = """
import importlib.util, json, sys
folder = sys.argv[1]
sys.dont_write_bytecode = True
spec = importlib.util.spec_from_file_location("score", folder + "/score.py")
score = importlib.util.module_from_spec(spec)
spec.loader.exec_module(score)
score.load_model()
print(json.dumps(sorted(name.partition(".")[0] for name in sys.modules)), flush=True)
for line in sys.stdin:
    try:
        print(json.dumps({"answer": score.predict(json.loads(line))}), flush=True)
    except Exception as error:
        print(json.dumps({"raised": str(error)}), flush=True)
"""


class ScoreProcess:
    """`python` is isolated: it sees its own environment and nothing else."""

    def __init__(self, folder: Path, python: Path) -> None:
        command = [str(python), "-I", "-c", _PROGRAM, str(folder)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        self.modules = set(self._read())

    def predict(self, data: Any) -> Any:
        """What it answers; raises what it raised."""
        with self._lock:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(data) + "\n")
            self._process.stdin.flush()
            told = self._read()
        if "raised" in told:
            raise ValueError(told["raised"])
        return told["answer"]

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, said = self._process.communicate()
            raise AssertionError(said[-2000:])
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
