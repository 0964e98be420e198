"""What a configuration or a file of keys may say of limits."""

from __future__ import annotations

from pydantic import Field

from embedway_gateway.config.strict import Strict
from embedway_gateway.quota.allowance import Allowance

__all__ = ["AllowanceConfig"]


class AllowanceConfig(Strict):
    """Limits; what is absent has none."""

    rpm: int | None = Field(default=None, ge=1)
    """Requests a minute, of which a minute's worth may come at once."""
    tpm: int | None = Field(default=None, ge=1)
    """Tokens a minute."""
    texts_per_minute: int | None = Field(default=None, ge=1)
    """Texts a minute; documents of a rerank request are texts."""
    max_concurrency: int | None = Field(default=None, ge=1)
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
