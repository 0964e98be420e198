"""Asks every upstream of a configuration what `embedway check` shows of it."""

from embedway_gateway.survey.finding import Finding
from embedway_gateway.survey.round import survey

__all__ = ["Finding", "survey"]
