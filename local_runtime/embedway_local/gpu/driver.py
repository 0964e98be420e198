"""Asks the NVIDIA driver for its version, and for its cards without starting CUDA on any."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Card", "Driver", "driver_version", "read_driver"]


class _Function(Protocol):
    def __call__(self, *arguments: object) -> int: ...


class _Library(Protocol):
    def __getattr__(self, name: str, /) -> _Function: ...


@dataclass(frozen=True, slots=True)
class Card:
    """One card, as this process counts them: CUDA_VISIBLE_DEVICES is obeyed."""

    index: int
    name: str
    capability: str
    total: int
    """Bytes of memory."""
    free: int | None
    """Bytes that nobody uses; None where the management library is missing."""


@dataclass(frozen=True, slots=True)
class Driver:
    """The driver."""

    cuda: int
    """The newest CUDA that it runs: 12080 for 12.8, 13000 for 13.0."""
    cards: tuple[Card, ...]
    problem: str | None = None
    """Why it shows no card."""


class _Refused(Exception):
    """A call of the driver did not succeed."""


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


def read_driver(open_: Callable[[str], _Library] = ctypes.CDLL) -> Driver | None:
    """
    The driver and its cards; None where no driver is installed. Never raises.

    A child that is forked afterwards cannot use CUDA: ask only where ONNX Runtime has CUDA.
    """
    opened = _opened(open_)
    if opened is None:
        return None
    cuda, version = opened
    windows = sys.platform == "win32"
    number = ctypes.c_int()
    try:
        _ask(cuda, "cuInit", 0)
        _ask(cuda, "cuDeviceGetCount", ctypes.byref(number))
        free = _free(open_, windows=windows)
        cards = tuple(_card(cuda, index, free) for index in range(number.value))
    except (_Refused, AttributeError) as error:
        return Driver(version, (), str(error))
    return Driver(version, cards, None if cards else "it shows no card to this process")


def driver_version(open_: Callable[[str], _Library] = ctypes.CDLL) -> int | None:
    """
    The newest CUDA that the driver runs (12080 for 12.8); None where no driver is installed.

    Whoever is forked from this process may use CUDA all the same. Never raises.
    """
    opened = _opened(open_)
    return None if opened is None else opened[1]


def _opened(open_: Callable[[str], _Library]) -> tuple[_Library, int] | None:
    """The driver's library, which has not been started, and its version."""
    try:
        cuda = open_("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    number = ctypes.c_int()
    try:
        # May be asked before `cuInit`, which fails where a driver has no card.
        _ask(cuda, "cuDriverGetVersion", ctypes.byref(number))
    except (_Refused, AttributeError):
        return None
    return cuda, number.value


def _card(cuda: _Library, index: int, free: Callable[[bytes], int | None]) -> Card:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name, bus = ctypes.create_string_buffer(256), ctypes.create_string_buffer(64)
    total = ctypes.c_size_t()
    _ask(cuda, "cuDeviceGet", ctypes.byref(device), index)
    _ask(cuda, "cuDeviceGetName", name, 256, device)
    _ask(cuda, "cuDeviceTotalMem_v2", ctypes.byref(total), device)
    # 75 and 76: CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR.
    _ask(cuda, "cuDeviceGetAttribute", ctypes.byref(major), 75, device)
    _ask(cuda, "cuDeviceGetAttribute", ctypes.byref(minor), 76, device)
    _ask(cuda, "cuDeviceGetPCIBusId", bus, 64, device)
    capability = f"{major.value}.{minor.value}"
    told = name.value.decode(errors="replace")
    return Card(index, told, capability, total.value, free(bus.value))


def _free(open_: Callable[[str], _Library], *, windows: bool) -> Callable[[bytes], int | None]:
    """A function from a card's bus to its free bytes, by the management library."""
    try:
        library = open_("nvml.dll" if windows else "libnvidia-ml.so.1")
        _ask(library, "nvmlInit_v2")
    except (OSError, _Refused, AttributeError):
        return lambda _: None

    def free(bus: bytes) -> int | None:
        handle, memory = ctypes.c_void_p(), _Memory()
        try:
            _ask(library, "nvmlDeviceGetHandleByPciBusId_v2", bus, ctypes.byref(handle))
            _ask(library, "nvmlDeviceGetMemoryInfo", handle, ctypes.byref(memory))
        except (_Refused, AttributeError):
            return None
        return int(memory.free)

    return free


def _ask(library: _Library, name: str, *arguments: object) -> None:
    code = getattr(library, name)(*arguments)
    if code != 0:
        raise _Refused(f"{name} answered {code}")
