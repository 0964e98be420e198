"""Reads RoBERTa, XLM-R and CamemBERT: BERT whose positions are counted behind the padding token."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from embedway_local.error import ModelCorrupt
from embedway_local.graph.bert import Bert

if TYPE_CHECKING:
    from embedway_local.setting import Settings

__all__ = ["Roberta"]


class Roberta:
    """Its layers, and their tensors' names, are BERT's."""

    @classmethod
    def read(cls, config: Settings) -> Bert:
        """Read `config.json`; raises the errors of `Bert.read`."""
        bert, pad = Bert.read(config), config.number("pad_token_id", default=1)
        if pad >= bert.positions:
            raise ModelCorrupt(
                f"{config.source}: none of {bert.positions} positions is behind {pad}"
            )
        return replace(bert, pad=pad)
