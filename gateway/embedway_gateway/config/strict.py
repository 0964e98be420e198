"""What all parts of a configuration have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Strict"]


class Strict(BaseModel):
    """An unknown key is a mistake, a value stays what it was, and no error shows what was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
