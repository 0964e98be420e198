"""Examines this machine: what the local runtime runs on, and why not on the card."""

from embedway_local.doctor.examination import examine
from embedway_local.doctor.report import Report

__all__ = ["Report", "examine"]
