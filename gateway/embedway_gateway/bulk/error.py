"""What can go wrong between a file of texts and a file of vectors; every message names the cure."""

from __future__ import annotations

__all__ = [
    "BadInput",
    "BadVectors",
    "BulkError",
    "ClusterFailed",
    "OutputRefused",
    "PartsDiffer",
    "WorkerFailed",
]


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


class ClusterFailed(BulkError):
    """A Ray cluster cannot be reached, has no room, or failed."""


class WorkerFailed(BulkError):
    """A worker of a Ray cluster cannot run, or dies again and again."""
