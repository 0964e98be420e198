"""One API key as it is kept: who has it, what it allows, and until when."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import BeforeValidator, Field, field_serializer

from embedway_gateway.config.allowance import AllowanceConfig

__all__ = ["NAME", "Key", "Moment"]

NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"


def _moment(value: object) -> object:
    """YAML has dates and times without a zone; both are of UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime):
        return value if value.tzinfo else value.replace(tzinfo=UTC)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


Moment = Annotated[datetime, BeforeValidator(_moment)]


class Key(AllowanceConfig):
    """As in the file. The secret itself is nowhere."""

    id: str = Field(pattern=r"^[a-z0-9]{4,32}$")
    name: str = Field(pattern=NAME)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", repr=False)
    models: tuple[Annotated[str, Field(min_length=1)], ...] = ("*",)
    """Globs of names or aliases."""
    admin: bool = False
    """Whether it may see everybody's usage, and the metrics."""
    created: Moment
    expires: Moment | None = None
    """Until when it was made to last."""
    retires: Moment | None = None
    """The end of its overlap with the key that replaced it."""
    revoked: Moment | None = None

    @field_serializer("created", "expires", "retires", "revoked")
    def _written(self, value: datetime | None) -> str | None:
        return None if value is None else value.astimezone(UTC).isoformat(timespec="seconds")

    @property
    def until(self) -> datetime | None:
        """When it opens no more, unless it is revoked before; None is never."""
        return min((one for one in (self.expires, self.retires) if one is not None), default=None)

    def state(self, now: datetime) -> str:
        """`valid`, `expired` or `revoked`."""
        if self.revoked is not None and self.revoked <= now:
            return "revoked"
        return "expired" if self.until is not None and self.until <= now else "valid"
