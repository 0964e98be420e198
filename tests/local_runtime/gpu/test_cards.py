"""Several cards, and TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from doubles.cuda_runtime import CUDA, TENSORRT
from doubles.vectors import IDS, near
from embedway_local import DeviceUnavailable, LocalError
from embedway_local.gpu.bound import CALLERS
from embedway_local.gpu.driver import Card, Driver


@pytest.mark.parametrize(
    ("device", "cards"), [("cuda:1", {1}), ("cuda:0,1", {0, 1}), ("cuda:all", {0, 1})]
)
def test_cards_are_chosen_by_number(
    model, expected: np.ndarray, runtime: Callable, device: str, cards: set[int]
) -> None:
    fake = runtime()

    loaded = model.load(device)

    assert (device, CALLERS * len(cards)) == (loaded.device, loaded.callers)
    assert {str(card) for card in cards} == {
        item.asked[CUDA]["device_id"] for item in fake.on(CUDA)
    }
    near(loaded.session.run(IDS), expected)


@pytest.mark.parametrize("capture", [True, False])
def test_a_second_card_works_where_the_first_is_full(
    model, expected: np.ndarray, runtime: Callable, caplog, *, capture: bool
) -> None:
    """Calls come from other threads than the one that loaded, on whose copies nobody decides."""
    runtime()
    loaded = model.load("cuda:1", capture=capture)
    assert not any("does without" in line for line in caplog.messages)

    with ThreadPoolExecutor(1) as pool:
        near(pool.submit(loaded.session.run, IDS).result(), expected)
        near(pool.submit(loaded.session.run, [IDS[1]]).result(), expected[1:2])


def test_a_card_that_cannot_be_chosen_is_an_error(model, runtime: Callable, monkeypatch) -> None:
    fake = runtime()
    loaded = model.load("cuda:1", capture=False)
    monkeypatch.setattr(fake.library, "cudaSetDevice", lambda card: 101)

    with pytest.raises(LocalError, match=r"cudaSetDevice\(1\) answered 101"):
        loaded.session.run(IDS)


def test_calls_go_to_all_cards(model, runtime: Callable) -> None:
    fake = runtime()
    loaded = model.load("cuda:all", capture=False)
    for item in fake.on(CUDA):
        item.runs.clear()

    for _ in range(6):
        loaded.session.run(IDS)

    assert [3, 3] == [len(item.runs) for item in fake.on(CUDA)]


def test_a_card_that_is_not_there_is_named(model, runtime: Callable) -> None:
    runtime()

    with pytest.raises(DeviceUnavailable, match=r"no card 4; this process sees 2; .*check --local"):
        model.load("cuda:4")


@pytest.mark.usefixtures("exact")
def test_tensorrt_keeps_its_engines_and_states_its_shapes(
    model, expected: np.ndarray, runtime: Callable, tmp_path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = runtime()

    loaded = model.load("tensorrt", engines=tmp_path / "engines")
    asked = fake.on(TENSORRT)[0].asked[TENSORRT]

    assert "tensorrt" == loaded.device
    assert "ids:1x1,lengths:1" == asked["trt_profile_min_shapes"]
    assert "ids:64x20,lengths:64" == asked["trt_profile_max_shapes"]
    assert str(tmp_path / "engines" / model.path.parent.name) == asked["trt_engine_cache_path"]
    assert "False" == asked["trt_fp16_enable"]
    near(loaded.session.run(IDS), expected)


@pytest.mark.usefixtures("exact")
def test_tensorrt_never_sees_more_texts_than_its_engine_has_room_for(
    model, expected: np.ndarray, runtime: Callable
) -> None:
    fake = runtime()
    loaded = model.load("tensorrt")
    session = fake.on(TENSORRT)[0]
    session.shapes.clear()

    found = loaded.session.run(IDS * 40)

    assert [64, 64, 32] == [shape[0] for shape in session.shapes]
    near(found, np.tile(expected, (40, 1)))


@pytest.mark.parametrize("value", [None, "1"])
def test_tensorrt_that_would_round_to_tf32_is_refused_before_it_builds(
    model, runtime: Callable, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", value)
    fake = runtime()

    with pytest.raises(DeviceUnavailable, match=r'precision="fp16".*NVIDIA_TF32_OVERRIDE=0'):
        model.load("tensorrt")

    assert [] == fake.on(TENSORRT)


def test_tensorrt_is_exact_on_cards_that_have_no_tf32(
    model, expected: np.ndarray, runtime: Callable
) -> None:
    runtime(driver=Driver(13000, (Card(0, "Tesla T4", "7.5", 16 * 10**9, None),)))

    near(model.load("tensorrt").session.run(IDS), expected)


def test_tensorrt_in_half_precision_is_half_precision(model, runtime: Callable) -> None:
    fake = runtime()

    assert "fp16" == model.load("tensorrt", precision="fp16").precision

    assert "True" == fake.on(TENSORRT)[0].asked[TENSORRT]["trt_fp16_enable"]


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(("version", "cuda"), [("13.0", "13"), ("12.8", "12"), (None, "13")])
def test_tensorrt_that_is_not_installed_is_told_with_the_line_that_installs_it(
    model, runtime: Callable, monkeypatch: pytest.MonkeyPatch, version: str | None, cuda: str
) -> None:
    """No extra brings it, so installing one again cannot help."""
    fake = runtime(lacks={TENSORRT})
    fake.cuda_version = version
    monkeypatch.setattr("embedway_local.gpu.start.missing_libraries", lambda _: [])

    with pytest.raises(DeviceUnavailable, match="TensorRT did not start") as raised:
        model.load("tensorrt")

    assert f'`pip install "tensorrt-cu{cuda}<11" nvidia-cudnn-cu{cuda}`' == raised.value.cure


@pytest.mark.usefixtures("exact")
def test_without_cuda_tensorrt_is_not_blamed(
    model, runtime: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime(absent=True)
    monkeypatch.setattr("embedway_local.gpu.start.missing_libraries", lambda _: ["libcublas"])

    with pytest.raises(DeviceUnavailable, match=r"CUDA did not start: libcublas .*embedway\[gpu\]"):
        model.load("tensorrt")


@pytest.mark.usefixtures("exact")
def test_tensorrt_that_gives_other_vectors_is_refused(model, runtime: Callable) -> None:
    runtime(wrong={"plain": 0.01})

    with pytest.raises(DeviceUnavailable, match='use device="cuda"'):
        model.load("tensorrt")
