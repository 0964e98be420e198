"""What the driver is asked; a library of the same calls stands for it."""

from __future__ import annotations

from doubles.cuda_driver import GB, Libraries
from embedway_local.gpu.driver import Card, Driver, driver_version, read_driver
from embedway_local.gpu.start import cuda_options, memory_limit
from embedway_local.gpu.wheel import Wheel, clash, install_line


def test_the_driver_tells_its_version_and_its_cards() -> None:
    found = read_driver(Libraries())

    cards = tuple(Card(i, "NVIDIA L4", "8.9", 24 * GB, free * GB) for i, free in ((0, 20), (1, 1)))
    assert Driver(13010, cards) == found


def test_without_a_driver_there_is_none() -> None:
    assert read_driver(Libraries(missing=("libcuda.so.1", "nvcuda.dll"))) is None


def test_the_version_is_told_without_starting_the_driver() -> None:
    libraries = Libraries()

    assert 13010 == driver_version(libraries)
    assert ["cuDriverGetVersion"] == libraries.asked
    assert driver_version(Libraries(missing=("libcuda.so.1", "nvcuda.dll"))) is None
    assert driver_version(Libraries(fails={"cuDriverGetVersion": 1})) is None


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
