"""What can go wrong between a file of texts and a file of vectors; every message names the cure."""

from __future__ import annotations

__all__ = ["BadInput", "BadVectors", "BulkError", "OutputRefused", "PartsDiffer"]


class BulkError(Exception):
    """Root of the bulk errors; the message never holds a text."""


class BadInput(BulkError):
    """An input cannot be read, or a row of it cannot be embedded; names the file and the row."""


class OutputRefused(BulkError):
    """The output is there already, half-made, in use by another run, or cannot be written."""


class PartsDiffer(BulkError):
    """What an interrupted run left was made from other texts, or with other options."""


class BadVectors(BulkError):
    """The vectors that came back cannot stand beside those that came before."""
