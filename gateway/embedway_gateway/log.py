"""How the log looks: one JSON object a line for machines, a short line for people."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec

__all__ = ["set_up_logging"]

_encode = msgspec.json.Encoder().encode


def set_up_logging(form: Literal["auto", "json", "text"]) -> None:
    """Send the log to stderr; "auto" is text on a terminal and JSON elsewhere."""
    json_form = form == "json" or (form == "auto" and not sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if json_form else _Text())
    root = logging.getLogger("embedway")
    root.handlers = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
    errors = logging.getLogger("uvicorn.error")
    errors.handlers = [handler]
    errors.setLevel(logging.WARNING)
    errors.propagate = False


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return _encode(line).decode()


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        facts = getattr(record, "facts", {})
        words = " ".join(f"{key}={_word(value)}" for key, value in facts.items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()} {words}".rstrip()
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _word(value: object) -> str:
    """The value on one line: a path with a line break in it must not forge a line of the log."""
    text = str(value)
    return text if text.isprintable() else repr(text)
