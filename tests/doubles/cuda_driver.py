"""The NVIDIA driver's libraries, as far as they are asked."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["GB", "Libraries"]

GB = 2**30


class Libraries:
    """libcuda and the management library: two cards, the second is busy."""

    def __init__(self, *, missing: tuple[str, ...] = (), fails: dict[str, int] | None = None):
        self.missing = missing
        self.fails = fails or {}
        self.asked: list[str] = []

    def __call__(self, name: str) -> Libraries:
        if name in self.missing:
            raise OSError(name)
        return self

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: object) -> int:
            self.asked.append(name)
            if name in self.fails:
                return self.fails[name]
            self._answer(name, [getattr(item, "_obj", item) for item in arguments])
            return 0

        return call

    @staticmethod
    def _answer(name: str, given: list) -> None:
        if name == "cuDriverGetVersion":
            given[0].value = 13010
        elif name == "cuDeviceGetCount":
            given[0].value = 2
        elif name == "cuDeviceGet":
            given[0].value = given[1]
        elif name == "cuDeviceGetName":
            given[0].value = b"NVIDIA L4"
        elif name == "cuDeviceTotalMem_v2":
            given[0].value = 24 * GB
        elif name == "cuDeviceGetAttribute":
            given[0].value = {75: 8, 76: 9}[given[1]]
        elif name == "cuDeviceGetPCIBusId":
            given[0].value = b"0000:0%d:00.0" % given[2].value
        elif name == "nvmlDeviceGetHandleByPciBusId_v2":
            given[1].value = int(given[0][6:7]) + 1
        elif name == "nvmlDeviceGetMemoryInfo":
            given[1].free = 20 * GB if given[0].value == 1 else GB
