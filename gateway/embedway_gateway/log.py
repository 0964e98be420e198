"""How the log looks: one JSON object a line for machines, a short line for people."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Literal, TextIO

import msgspec

__all__ = ["report", "set_up_logging"]

_GATHERED_SECONDS = 0.05

_requests = logging.getLogger("embedway.request")
_encode = msgspec.json.Encoder().encode


def set_up_logging(form: Literal["auto", "json", "text"]) -> None:
    """Send the log to stderr; "auto" is text on a terminal and JSON elsewhere."""
    json_form = form == "json" or (form == "auto" and not sys.stderr.isatty())
    handler = _Gathering(sys.stderr)
    handler.setFormatter(_Json() if json_form else _Text())
    root = logging.getLogger("embedway")
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
    for name, level in (("uvicorn.error", logging.WARNING), ("opentelemetry", logging.ERROR)):
        errors = logging.getLogger(name)
        errors.handlers = [handler]
        errors.setLevel(level)
        errors.propagate = False
    # Nobody shows them, and to look them up is half of the cost of a record.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    # Typeshed does not know it; since Python 3.12.
    logging.logAsyncioTasks = False  # type: ignore[attr-defined,unused-ignore]


def report(facts: dict[str, object]) -> None:
    """One line for a request that was answered, at the level of information."""
    if not _requests.isEnabledFor(logging.INFO):
        return
    handlers = logging.getLogger("embedway").handlers
    if len(handlers) == 1 and isinstance(handlers[0], _Gathering):
        # As below, for a third of the time.
        handlers[0].add(time.time(), facts)
        return
    # Not `info`, which walks the stack to find the line that this is.
    name, level = _requests.name, logging.INFO
    record = _requests.makeRecord(name, level, __file__, 0, "request", (), None)
    record.facts = facts
    _requests.handle(record)


class _Gathering(logging.StreamHandler[TextIO]):
    """
    Writes lines of the event loop together, at most a twentieth of a second late: one write costs
    as much as making the line. Warnings, and whatever is logged elsewhere, are written at once.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self._lines: list[str | tuple[float, dict[str, object]]] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, created: float, facts: dict[str, object]) -> None:
        """The line of a request."""
        # Put into words when it is written: no answer need wait for that.
        self._lines.append((created, facts))
        if not self._later():
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(self.format(record))
        if record.levelno < logging.WARNING and self._later():
            return
        self.flush()

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if lines:
            words = [line if isinstance(line, str) else self._worded(*line) for line in lines]
            # A log that nobody can write to any more, as when its reader died, fails no request.
            with contextlib.suppress(OSError, ValueError):
                self.stream.write("\n".join([*words, ""]))
                self.stream.flush()

    def _worded(self, created: float, facts: dict[str, object]) -> str:
        formatter = self.formatter
        assert isinstance(formatter, _Json | _Text)
        return formatter.line(created, "info", "request", facts)

    def _later(self) -> bool:
        """Whether it will be written by the event loop that runs here."""
        if self._timer is not None:
            return True
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return False
        self._timer = loop.call_later(_GATHERED_SECONDS, self._write)
        return True

    def _write(self) -> None:
        self._timer = None
        self.flush()


class _Json(logging.Formatter):
    _second = -1
    _moment = ""

    def format(self, record: logging.LogRecord) -> str:
        facts = dict(getattr(record, "facts", {}))
        if record.exc_info:
            facts["trace"] = self.formatException(record.exc_info)
        return self.line(record.created, record.levelname.lower(), record.getMessage(), facts)

    def line(self, created: float, level: str, message: str, facts: dict[str, object]) -> str:
        second = int(created)
        if second != self._second:
            # Of thousands in a second, one need be put into words.
            moment = datetime.fromtimestamp(second, UTC).isoformat(timespec="seconds")
            self._second, self._moment = second, moment.removesuffix("+00:00")
        moment = f"{self._moment}.{int((created - second) * 1000):03d}+00:00"
        return _encode({"time": moment, "level": level, "message": message, **facts}).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        line = self.line(record.created, record.levelname.lower(), record.getMessage(), facts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line

    def line(self, created: float, level: str, message: str, facts: dict[str, object]) -> str:
        moment = datetime.fromtimestamp(created).astimezone().strftime("%H:%M:%S")
        words = " ".join(f"{key}={_word(value)}" for key, value in facts.items())
        return f"{moment} {level:7} {message} {words}".rstrip()


def _word(value: object) -> str:
    """The value on one line: a path with a line break in it must not forge a line of the log."""
    text = str(value)
    return text if text.isprintable() else repr(text)
