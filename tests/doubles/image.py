"""Builds what a Dockerfile says into a folder, and runs it as a container would."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What the image has of its own; everything else is the machine's.
_PLACES = re.compile(r"(?<![\w.])/(opt/(?:embedway|wheel)|etc/embedway|var/lib/embedway)\b")
_HASHED = "--require-hashes"


@dataclass
class Image:
    """A folder that stands for `/`, and what the last stage says."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    settings: dict[str, str] = field(default_factory=dict)
    """USER, STOPSIGNAL, VOLUME, EXPOSE, WORKDIR, HEALTHCHECK, ENTRYPOINT and CMD, as written."""

    def here(self, text: str) -> str:
        """With the image's paths below `root`."""
        return _PLACES.sub(lambda match: f"{self.root}/{match[1]}", text)

    def argv(self, *name: str) -> list[str]:
        """The words of ENTRYPOINT, CMD or the command of HEALTHCHECK."""
        words: list[str] = []
        for one in name:
            text = self.settings[one]
            words += json.loads(text[text.index("[") :])
        return [self.here(word) for word in words]

    def variables(self) -> dict[str, str]:
        """Nothing of the machine's environment."""
        found = {"PATH": os.defpath}
        for key, value in self.environment.items():
            found[key] = self.here(value.replace("$PATH", found["PATH"]))
        return found


def instructions(text: str) -> list[tuple[str, str]]:
    """Keyword and the rest, continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [
        (line.split(maxsplit=1)[0], " ".join(line.split(maxsplit=1)[1].split()))
        for line in whole.splitlines()
    ]


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore keeps it out; the last pattern that fits says."""
    parts = path.split("/")
    names = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    out = False
    for line in patterns:
        pattern = line.removeprefix("!")
        # `**/` is also no folder at all.
        forms = [pattern, pattern.removeprefix("**/")]
        if any(fnmatch.fnmatchcase(name, form) for name in names for form in forms):
            out = not line.startswith("!")
    return out


def build(dockerfile: Path, root: Path) -> Image:
    """
    All instructions, in order. What is installed from a lock is what is installed here already:
    the locks have tests of their own.
    """
    image = Image(root)
    ignore = [
        line
        for line in dockerfile.with_name(f"{dockerfile.name}.dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    source = root / "src"
    for keyword, rest in instructions(dockerfile.read_text()):
        if keyword == "FROM":
            image.environment.clear()
            image.settings.clear()
        elif keyword == "ENV":
            image.environment.update(word.split("=", 1) for word in shlex.split(rest))
        elif keyword == "COPY" and not rest.startswith("--from"):
            _copy(rest.split(), source, ignore)
        elif keyword == "RUN":
            _run(image, rest, source)
        elif keyword not in {"ARG", "LABEL", "COPY"}:
            image.settings[keyword] = rest
    packages = next((root / "opt/embedway/lib").glob("python*/site-packages"))
    (packages / "locked.pth").write_text(f"{root}/opt/locked\n")
    return image


def _copy(words: list[str], source: Path, ignore: Sequence[str]) -> None:
    *files, target = words
    for name in files:
        for path in sorted([ROOT / name, *(ROOT / name).rglob("*")]):
            relative = path.relative_to(ROOT).as_posix()
            if path.is_dir() or ignored(relative, ignore):
                continue
            inside = path.relative_to(ROOT / name)
            place = source / target / (inside if inside.parts else path.name)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


def _run(image: Image, line: str, source: Path) -> None:
    for command in line.split("&&"):
        words = shlex.split(image.here(command))
        if _HASHED in words or "/opt/build" in words:
            continue
        if words[0] == "chown" and os.geteuid() != 0:
            continue
        if words[0] in {"python", "/opt/build/bin/python"}:
            words[0] = sys.executable
        clean = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
        done = subprocess.run(
            words, cwd=source, env=clean, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"


class Container:
    """
    Runs commands of an image, as its user and with its environment alone. As root: with nothing to
    write to but the volume and /tmp, without a privilege, and as process 1 of its own.
    """

    def __init__(self, image: Image) -> None:
        self._image = image
        self._state = image.root / "var/lib/embedway"
        locked = image.root / "opt/locked"
        self._apart: list[str] = []
        if os.geteuid() == 0:
            locked.mkdir()
            number = image.settings["USER"].partition(":")[0]
            self._apart = self._isolation(locked, number)
        # Where namespaces are not allowed, or the interpreter is root's own.
        if not self._apart or self.run("python", "-c", "import fastapi").returncode != 0:
            self._apart = []
            if locked.is_dir():
                locked.rmdir()
            locked.symlink_to(sysconfig.get_path("purelib"))

    @property
    def isolated(self) -> bool:
        return bool(self._apart)

    def _isolation(self, locked: Path, number: str) -> list[str]:
        script = (
            "set -e; mount --make-rprivate /; "
            f"mount --bind {sysconfig.get_path('purelib')} {locked}; "
            f"mount --bind {self._state} {self._state}; "
            "mount -o remount,bind,ro /; mount -t tmpfs tmpfs /tmp; "
            f"cd {self._state}; "
            f"exec setpriv --reuid={number} --regid={number} --clear-groups --no-new-privs "
            '--bounding-set=-all -- "$@"'
        )
        return ["unshare", "--mount", "--pid", "--fork", "--", "sh", "-c", script, "sh"]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """And wait for its end."""
        variables = self._image.variables()
        program = shutil.which(words[0], path=variables["PATH"]) or words[0]
        return subprocess.run(
            [*self._apart, program, *words[1:]],
            env=variables,
            cwd=self._state,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @contextlib.contextmanager
    def running(self, *words: str) -> Iterator[Running]:
        """For as long as the block runs."""
        variables = self._image.variables()
        program = shutil.which(words[0], path=variables["PATH"]) or words[0]
        log = self._image.root / "log"
        with log.open("w") as file:
            process = subprocess.Popen(
                [*self._apart, program, *words[1:]],
                env=variables,
                cwd=self._state,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        running = Running(process, log, isolated=self.isolated)
        try:
            yield running
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


@dataclass
class Running:
    """A container's process."""

    process: subprocess.Popen[bytes]
    log: Path
    isolated: bool

    @property
    def first(self) -> int:
        """Whom `docker stop` would signal."""
        if not self.isolated:
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def stop(self, number: signal.Signals) -> None:
        os.kill(self.first, number)
