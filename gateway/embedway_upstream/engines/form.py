"""What msgspec raises for bytes that are not of the form that was asked for."""

from __future__ import annotations

import msgspec

__all__ = ["UNREADABLE"]

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Not JSON or not of the form, a text that is no UTF-8, lists nested without end."""
