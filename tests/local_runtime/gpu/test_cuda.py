"""What is taken on a machine with a card, and what is passed over with its reason."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from doubles.cuda_runtime import CPU, CUDA
from doubles.vectors import IDS, near
from embedway_local import CardUse, DeviceUnavailable, LocalEmbedder, LocalError
from embedway_local.gpu import wheel
from embedway_local.gpu.bound import CALLERS, SHRINK
from embedway_local.gpu.driver import Driver

GB = 10**9
CURE = r'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "embedway\[gpu\]"'


def test_a_card_that_works_is_taken_in_single_precision(
    model, expected: np.ndarray, runtime: Callable, caplog: pytest.LogCaptureFixture
) -> None:
    runtime()

    loaded = model.load("auto")

    assert ("cuda", "fp32", CALLERS) == (loaded.device, loaded.precision, loaded.callers)
    assert "running on cuda: a card works (fp32)" == caplog.messages[-1]
    assert loaded.tokens >= 8192
    near(loaded.session.run(IDS), expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"compiled": [CPU]}, "built without CUDA"),
        ({"absent": True}, "a library is missing or of another version"),
        ({"absent": True, "driver": None}, "there is no driver"),
        ({"absent": True, "driver": Driver(13000, (), "cuInit answered 100")}, "cuInit answered"),
        ({"starts": "libcublas.so.13: cannot open"}, "libcublas.so.13"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_card_that_does_not_work_is_passed_over_with_the_reason(
    model,
    expected: np.ndarray,
    runtime: Callable,
    caplog: pytest.LogCaptureFixture,
    options: dict,
    reason: str,
) -> None:
    """`get_available_providers` is not believed: it lists what was compiled in."""
    runtime(**options)

    loaded = model.load("auto")

    assert "cpu" == loaded.device
    assert caplog.messages[-1].startswith("running on the processor: ")
    assert reason in caplog.messages[-1]
    near(loaded.session.run(IDS), expected)
    with pytest.raises(DeviceUnavailable, match=CURE) as raised:
        model.load("cuda")
    assert reason in raised.value.reason


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:1", "cuda:all", "tensorrt"])
def test_without_a_driver_nothing_is_tried(model, runtime: Callable, device: str) -> None:
    """ONNX Runtime says at length on standard error what it then fails to load."""
    fake = runtime(driver=None)

    if device == "auto":
        assert "cpu" == model.load(device).device
    else:
        with pytest.raises(DeviceUnavailable, match="there is no driver"):
            model.load(device)

    assert all({CPU} >= set(one.asked) for one in fake.made)
    assert 0 == fake.preloaded


REPORT = 'use device="cpu", and report it with the output of `embedway check --local`'
SHOWN = 'use device="cpu"; `embedway check --local` shows the card and what is installed'
ROOM = "free memory on the card, or state how much may be taken with card=CardUse(memory=…)"


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize(
    ("options", "reason", "cure"),
    [
        ({"raises": {"plain"}}, "failed its first run .*no kernel image", SHOWN),
        ({"wrong": {"plain": 1e-4}}, "something else than the processor .*differ by 1", REPORT),
        ({"wrong": {"plain": float("nan")}}, "failed its first run .*not numbers", SHOWN),
        ({"full": "CUDA failure 2: out of memory ; GPU=0"}, "out of memory in its first run", ROOM),
        ({"full": "Failed to allocate memory for requested buffer of size 9"}, "of memory", ROOM),
        ({"full": "Available memory of 1 is smaller than requested bytes of 9"}, "of memory", ROOM),
        ({"starts": "CUDA failure 2: out of memory"}, "CUDA did not start .*out of memory", ROOM),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_helps_fits_what_a_card_does_wrong(
    model, runtime, caplog, device: str, options: dict, reason: str, cure: str
) -> None:
    """Nothing that is installed again makes a card compute right, or larger."""
    runtime(**options)

    if device == "auto":
        assert "cpu" == model.load("auto").device
        assert re.search(reason, caplog.messages[-1], re.DOTALL)
        assert (cure in caplog.messages[-1]) is (cure == ROOM)
        assert "pip" not in caplog.messages[-1]
        return
    with pytest.raises(DeviceUnavailable) as raised:
        model.load("cuda")
    assert re.search(reason, raised.value.reason, re.DOTALL)
    assert cure == raised.value.cure


def test_an_older_driver_is_told_of_the_extra_for_cuda_12(model, runtime: Callable) -> None:
    runtime(compiled=[CPU], driver=Driver(12080, ()))

    with pytest.raises(DeviceUnavailable, match=r'pip install "embedway\[gpu-cu12\]"'):
        model.load("cuda")


def test_two_packages_in_one_place_are_named(
    model, runtime: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime(compiled=[CPU])
    both = [wheel.Wheel("onnxruntime", "1.31.1"), wheel.Wheel("onnxruntime-gpu", "1.31.1")]
    monkeypatch.setattr("embedway_local.gpu.start.wheels", lambda: both)

    with pytest.raises(DeviceUnavailable, match="onnxruntime overwrote onnxruntime-gpu"):
        model.load("cuda")


def test_libraries_are_loaded_first_and_stdout_stays_clean(
    model, runtime: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    fake = runtime()

    model.load("cuda")
    captured = capsys.readouterr()

    assert 1 == fake.preloaded
    assert "" == captured.out
    assert "libcudnn" in captured.err


def test_the_card_is_exact_and_its_memory_is_bounded(model, runtime: Callable) -> None:
    fake = runtime()

    model.load("cuda")
    asked = fake.on(CUDA)[0].asked[CUDA]

    assert ("0", "kSameAsRequested") == (asked["use_tf32"], asked["arena_extend_strategy"])
    assert str(16 * GB) == asked["gpu_mem_limit"]  # 80 % of the 20 GB that are free
    model.load("cuda", memory=3 * GB)
    assert str(3 * GB) == fake.on(CUDA)[-1].asked[CUDA]["gpu_mem_limit"]


def test_the_weights_are_beside_the_arena(model, runtime: Callable) -> None:
    fake = runtime()

    model.load("cuda")

    entry = "session.use_device_allocator_for_initializers"
    assert "1" == fake.on(CUDA)[0].options.get_session_config_entry(entry)


def test_memory_is_given_back_now_and_then(model, runtime: Callable) -> None:
    fake = runtime()
    loaded = model.load("cuda", capture=False)

    for _ in range(SHRINK):
        loaded.session.run([[1, 5, 2]])

    entry = {"memory.enable_memory_arena_shrinkage": "gpu:0"}
    assert 1 == fake.on(CUDA)[0].runs.count(entry)


def test_buffers_grow_with_the_batch_and_are_used_again(model, runtime: Callable) -> None:
    runtime()
    loaded = model.load("cuda", capture=False)
    plain = model.load("cpu")
    random = np.random.default_rng(0)

    for rows in (1, 300, 2, 700, 1):
        ids = [[1, *random.integers(4, 30, random.integers(0, 18)), 2] for _ in range(rows)]
        near(loaded.session.run(ids), plain.session.run(ids))


def test_callers_of_one_card_do_not_mix(model, runtime: Callable, expected: np.ndarray) -> None:
    runtime()
    loaded = model.load("cuda")

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda row: loaded.session.run([IDS[row]]), [0, 1, 2, 3] * 25))

    near(np.concatenate(found), np.tile(expected, (25, 1)))


@pytest.mark.parametrize("fault", [{"raises": {"bound"}}, {"wrong": {"bound": 0.01}}])
def test_without_bound_buffers_the_card_is_used_all_the_same(
    model, expected: np.ndarray, runtime: Callable, fault: dict
) -> None:
    runtime(**fault)

    loaded = model.load("cuda")

    assert "cuda" == loaded.device
    near(loaded.session.run(IDS), expected)


@pytest.mark.parametrize("raises", [set(), {"bound"}], ids=["bound", "session"])
def test_a_card_that_fails_later_is_an_error(
    model, runtime: Callable, capsys: pytest.CaptureFixture[str], raises: set[str]
) -> None:
    """ONNX Runtime's own fallback would answer with a provider's defaults instead."""
    fake = runtime(raises=raises)
    loaded = model.load("cuda")
    fake.faults.raises.add("plain")

    with pytest.raises(LocalError, match="no kernel image"):
        loaded.session.run(IDS)
    assert "" == capsys.readouterr().out


def test_how_a_card_is_used_is_the_users_choice(model, home, runtime: Callable) -> None:
    fake = runtime()

    with LocalEmbedder(model.folder, home=home, card=CardUse(memory=GB, capture=False)):
        (made,) = fake.on(CUDA)

    assert str(GB) == made.asked[CUDA]["gpu_mem_limit"]
    with pytest.raises(ValueError, match="number of bytes"):
        CardUse(memory=0)


def test_an_embedder_on_a_card_gives_the_processors_vectors(model, home, runtime: Callable) -> None:
    texts = ["a b c", "", "z " * 18, "hello"] * 5
    with LocalEmbedder(model.folder, home=home, device="cpu") as plain:
        expected, space = plain.embed(texts), plain.space
    runtime()

    with LocalEmbedder(model.folder, home=home) as embedder:
        assert "cuda" == embedder.device
        near(embedder.embed(texts), expected)
        assert space == embedder.space
