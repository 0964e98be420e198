"""What the driver is asked; a library of the same calls stands for it."""

from __future__ import annotations

from collections.abc import Callable

from embedway_local.gpu.driver import Card, Driver, read_driver
from embedway_local.gpu.start import cuda_options, memory_limit
from embedway_local.gpu.wheel import Wheel, clash, install_line

GB = 2**30


class Libraries:
    """libcuda and the management library: two cards, the second is busy."""

    def __init__(self, *, missing: tuple[str, ...] = (), fails: dict[str, int] | None = None):
        self.missing = missing
        self.fails = fails or {}

    def __call__(self, name: str) -> Libraries:
        if name in self.missing:
            raise OSError(name)
        return self

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name.startswith("_"):
            raise AttributeError(name)

        def call(*arguments: object) -> int:
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


def test_the_driver_tells_its_version_and_its_cards() -> None:
    found = read_driver(Libraries())

    cards = tuple(Card(i, "NVIDIA L4", "8.9", 24 * GB, free * GB) for i, free in ((0, 20), (1, 1)))
    assert Driver(13010, cards) == found


def test_without_a_driver_there_is_none() -> None:
    assert read_driver(Libraries(missing=("libcuda.so.1", "nvcuda.dll"))) is None


def test_a_driver_without_a_card_says_why() -> None:
    found = read_driver(Libraries(fails={"cuInit": 100}))

    assert Driver(13010, (), "cuInit answered 100") == found


def test_free_memory_is_unknown_without_the_management_library() -> None:
    found = read_driver(Libraries(missing=("libnvidia-ml.so.1", "nvml.dll")))

    assert [None, None] == [card.free for card in found.cards]
    assert int(24 * GB * 0.8) == memory_limit(found, 0, None)


def test_the_arena_is_bounded_by_what_is_free_unless_it_is_stated() -> None:
    found = read_driver(Libraries())

    assert int(20 * GB * 0.8) == memory_limit(found, 0, None)
    assert int(GB * 0.8) == memory_limit(found, 1, None)
    assert 5 == memory_limit(found, 1, 5)
    assert memory_limit(None, 0, None) is None
    assert "gpu_mem_limit" not in cuda_options(0, None)


def test_wheels_that_overwrite_each_other_are_told_with_the_line_that_helps() -> None:
    found = [Wheel("onnxruntime", "1.31.1"), Wheel("onnxruntime-openvino", "1.24.1")]

    assert "onnxruntime, onnxruntime-openvino overwrite each other" in clash(found, compiled=False)
    assert clash(found[:1], compiled=False) is None
    line = "`pip uninstall -y onnxruntime onnxruntime-gpu onnxruntime-openvino && "
    assert f'{line}pip install "embedway[gpu]"`' == install_line("gpu", found)
    assert f'{line}pip install "embedway[gpu-cu12]"`' == install_line("gpu", found, driver=12080)
    assert f'{line}pip install "embedway[local]"`' == install_line("local", found, driver=12080)
