"""What helps when a card started, but fails or computes something else."""

from __future__ import annotations

from embedway_local.error import DeviceUnavailable, LocalError
from embedway_local.gpu.trial import Untrusted

__all__ = ["ROOM", "CardFailed", "failed", "is_full"]

# Of CUDA, of ONNX Runtime's arena without and with a bound, and of cuBLAS.
_FULL = (
    "out of memory",
    "Failed to allocate memory",
    "is smaller than requested bytes",
    "ALLOC_FAILED",
)
ROOM = "free memory on the card, or state how much may be taken with card=CardUse(memory=…)"


class CardFailed(DeviceUnavailable):
    """The card starts, and is of no use for this model; nothing can be installed against it."""


def is_full(error: BaseException) -> bool:
    """Does the error say that there is no memory left?"""
    return any(words in str(error) for words in _FULL)


def failed(what: str, error: LocalError) -> DeviceUnavailable:
    """The error of a first run, with what helps; `what` is "the card", or what ran on it."""
    if is_full(error):
        return DeviceUnavailable(f"{what} ran out of memory in its first run ({error})", ROOM)
    if isinstance(error, Untrusted):
        return CardFailed(
            f"{what} computes something else than the processor ({error})",
            'use device="cpu", and report it with the output of `embedway check --local`',
        )
    # One that is too old fails on its first kernel, and not before.
    return CardFailed(
        f"{what} failed its first run ({error})",
        'use device="cpu"; `embedway check --local` shows the card and what is installed',
    )
