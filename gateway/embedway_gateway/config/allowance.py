"""What a configuration or a file of keys may say of limits."""

from __future__ import annotations

from embedway_gateway.config.strict import Strict
from embedway_gateway.config.value import Amount
from embedway_gateway.quota.allowance import Allowance

__all__ = ["AllowanceConfig"]


class AllowanceConfig(Strict):
    """Limits; what is absent has none."""

    rpm: Amount | None = None
    """Requests a minute, of which a minute's worth may come at once."""
    tpm: Amount | None = None
    """Tokens a minute."""
    texts_per_minute: Amount | None = None
    """Texts a minute; documents of a rerank request are texts."""
    max_concurrency: Amount | None = None
    """Requests under way at once."""

    @property
    def allowance(self) -> Allowance:
        """The same, for those who count."""
        return Allowance(
            rpm=self.rpm,
            tpm=self.tpm,
            texts_per_minute=self.texts_per_minute,
            max_concurrency=self.max_concurrency,
        )
