"""What is taken on a machine with cards, what is left out, and that no vector is ever wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from doubles.cuda_runtime import CPU, CUDA, TENSORRT
from embedway_local import DeviceUnavailable, LocalEmbedder, LocalError
from embedway_local.gpu import wheel
from embedway_local.gpu.bound import CALLERS, SHRINK
from embedway_local.gpu.driver import Driver

GB = 10**9
IDS = [[1, 2], [1, 5, 6, 7, 2], [1, *range(4, 20), 2], [1, 9, 2]]
CURE = r'pip uninstall -y onnxruntime onnxruntime-gpu && pip install "embedway\[gpu\]"'


@pytest.fixture
def expected(model) -> np.ndarray:
    return model.load("cpu").session.run(IDS)


def near(found: np.ndarray, expected: np.ndarray, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


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
        ({"raises": {"plain"}}, "no kernel image"),
        ({"wrong": {"plain": 1e-4}}, "differ by 1"),
        ({"wrong": {"plain": float("nan")}}, "are no numbers"),
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


def test_short_queries_are_replayed_in_buckets(model, expected: np.ndarray, runtime: Callable):
    fake = runtime()
    loaded = model.load("cuda")
    captured = fake.on(CUDA)[-1]
    assert "1" == captured.asked[CUDA]["enable_cuda_graph"]
    captured.runs.clear()
    captured.shapes.clear()

    near(loaded.session.run([IDS[1]]), expected[1:2])

    assert [{"gpu_graph_id": "1"}] == captured.runs
    assert [(1, 16)] == captured.shapes
    near(loaded.session.run([IDS[2]]), expected[2:3])  # 18 tokens: longer than any bucket
    near(loaded.session.run(IDS), expected)
    assert [(1, 16)] == captured.shapes


def test_captured_queries_all_run_in_one_thread(model, runtime: Callable, monkeypatch) -> None:
    """ONNX Runtime keeps its captures by thread."""
    fake = runtime()
    loaded = model.load("cuda")
    captured = fake.on(CUDA)[-1]
    threads = set()
    inner = captured.compute
    monkeypatch.setattr(
        captured, "compute", lambda *a: (threads.add(threading.get_ident()), inner(*a))[1]
    )

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: loaded.session.run([IDS[0]]), range(20)))

    assert 1 == len(threads)


def test_capture_can_be_switched_off(model, runtime: Callable) -> None:
    fake = runtime()

    model.load("cuda", capture=False)

    assert all("enable_cuda_graph" not in item.asked[CUDA] for item in fake.on(CUDA))


@pytest.mark.parametrize("fault", [{"raises": {"captured"}}, {"wrong": {"captured": 1e-4}}])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_capture_that_fails_or_differs_is_left_out(
    model,
    expected: np.ndarray,
    runtime: Callable,
    caplog: pytest.LogCaptureFixture,
    fault: dict,
    precision: str,
) -> None:
    if precision == "fp16":
        fault = {
            key: {"captured": 0.5} if key == "wrong" else value for key, value in fault.items()
        }
    runtime(**fault)

    loaded = model.load("cuda", precision=precision)

    assert any("does without captured queries" in line for line in caplog.messages)
    near(loaded.session.run([IDS[1]]), expected[1:2], 2e-3)


@pytest.mark.parametrize(
    ("fault", "form"),
    [
        ({}, "fp16, packed"),
        ({"raises": {"packed"}}, "fp16, padded"),
        ({"wrong": {"packed": 0.5}}, "fp16, padded"),
        ({"wrong": {"packed": float("inf")}}, "fp16, padded"),
    ],
    ids=str,
)
def test_half_precision_runs_in_the_best_form_that_gives_the_right_vectors(
    model,
    expected: np.ndarray,
    runtime: Callable,
    caplog: pytest.LogCaptureFixture,
    fault: dict,
    form: str,
) -> None:
    runtime(**fault)

    loaded = model.load("cuda", precision="fp16")

    assert f"running on cuda: asked for ({form})" == caplog.messages[-1]
    assert "fp16" == loaded.precision
    near(loaded.session.run(IDS), expected, 2e-3)
    near(loaded.session.run([IDS[0]]), expected[:1], 2e-3)


@pytest.mark.parametrize(
    "options",
    [
        {"raises": {"packed", "padded"}},
        {"wrong": {"packed": 0.5, "padded": 0.5}},
        {},
    ],
    ids=["both fail", "both are wrong", "there is none"],
)
def test_half_precision_is_never_replaced_by_single(
    model, runtime: Callable, options: dict
) -> None:
    """It would be another vector space."""
    runtime(**options)
    graph = {} if options else {"fused": None}

    with pytest.raises(DeviceUnavailable, match=r'neither .* fp16 works .*use precision="fp32"'):
        model.load("cuda", precision="fp16", **graph)


def test_vectors_that_are_no_numbers_are_an_error(model, runtime: Callable) -> None:
    fake = runtime()
    loaded = model.load("cuda", precision="fp16")
    fake.faults.wrong["packed"] = float("nan")

    with pytest.raises(LocalError, match='use precision="fp32"'):
        loaded.session.run(IDS)


def test_a_card_that_fails_later_is_an_error(model, runtime: Callable) -> None:
    fake = runtime()
    loaded = model.load("cuda")
    fake.faults.raises.add("plain")

    with pytest.raises(LocalError, match="no kernel image"):
        loaded.session.run(IDS)


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
    assert "0" == asked["trt_fp16_enable"]
    near(loaded.session.run(IDS), expected)


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


def test_tensorrt_that_gives_other_vectors_is_refused(model, runtime: Callable) -> None:
    runtime(wrong={"plain": 0.01})

    with pytest.raises(DeviceUnavailable, match='use device="cuda"'):
        model.load("tensorrt")


def test_an_embedder_on_a_card_gives_the_processors_vectors(model, home, runtime: Callable) -> None:
    texts = ["a b c", "", "z " * 18, "hello"] * 5
    with LocalEmbedder(model.folder, home=home, device="cpu") as plain:
        expected, space = plain.embed(texts), plain.space
    runtime()

    with LocalEmbedder(model.folder, home=home) as embedder:
        assert "cuda" == embedder.device
        near(embedder.embed(texts), expected)
        assert space == embedder.space
