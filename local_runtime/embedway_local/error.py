"""What can go wrong in the local runtime; every message names the cure."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = [
    "DeviceUnavailable",
    "LocalError",
    "ModelCorrupt",
    "ModelNotFound",
    "ModelUnsupported",
    "NoRoom",
    "NotNumbers",
    "SpaceDiffers",
]

# Who reads them looks at the first ones.
_MOST_NAMED = 8


class LocalError(Exception):
    """Root of the local runtime's errors."""


class ModelNotFound(LocalError):
    """No source has the model; the message lists the sources that were asked."""


class ModelCorrupt(LocalError):
    """A file is damaged, or its SHA-256 is not the pinned one."""


class ModelUnsupported(LocalError):
    """The checkpoint is of a kind that this runtime cannot run exactly."""


class NoRoom(ModelUnsupported, ValueError):
    """`max_tokens` is so low that no text has room, whether a file or the caller said it."""


class SpaceDiffers(LocalError):
    """The model's vectors cannot be compared with those that were asked for."""


class NotNumbers(LocalError):
    """
    The graph makes of some texts what is not finite; `rows` are they, counted from the first that
    it was given. Of the others, some may not have been looked at.
    """

    def __init__(self, reason: str, rows: Iterable[int]) -> None:
        self.reason = reason
        self.rows = tuple(rows)
        named = ", ".join(map(str, self.rows[:_MOST_NAMED]))
        super().__init__(f"{reason}: text{'' if len(self.rows) == 1 else 's'} {named}")

    def __reduce__(self) -> tuple[type[NotNumbers], tuple[str, tuple[int, ...]], dict[str, object]]:
        return type(self), (self.reason, self.rows), self.__dict__


class DeviceUnavailable(LocalError):
    """The device that was asked for cannot be used on this machine."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(f"{reason}; {cure}")
        self.reason = reason
        self.cure = cure

    def __reduce__(self) -> tuple[type[DeviceUnavailable], tuple[str, str], dict[str, object]]:
        # Others are made again from what they print, which would be one argument too few.
        return type(self), (self.reason, self.cure), self.__dict__
