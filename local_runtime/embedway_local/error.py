"""What can go wrong in the local runtime; every message names the cure."""

from __future__ import annotations

__all__ = [
    "DeviceUnavailable",
    "LocalError",
    "ModelCorrupt",
    "ModelNotFound",
    "ModelUnsupported",
    "NoRoom",
    "SpaceDiffers",
]


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


class DeviceUnavailable(LocalError):
    """The device that was asked for cannot be used on this machine."""

    def __init__(self, reason: str, cure: str) -> None:
        super().__init__(f"{reason}; {cure}")
        self.reason = reason
        self.cure = cure

    def __reduce__(self) -> tuple[type[DeviceUnavailable], tuple[str, str], dict[str, object]]:
        # Others are made again from what they print, which would be one argument too few.
        return type(self), (self.reason, self.cure), self.__dict__
