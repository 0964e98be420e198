from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from embedway_local import LocalEmbedder, ModelUnsupported
from embedway_local.checkpoint import read_checkpoint
from embedway_local.graph.architecture import ARCHITECTURES
from embedway_local.graph.build import build, save
from embedway_local.graph.score import HEADS
from embedway_local.source.find import BUILDABLE, RERANKABLE


def test_what_find_believes_can_be_built_is_what_can() -> None:
    assert set(ARCHITECTURES) == BUILDABLE
    assert set(HEADS) == RERANKABLE


def test_an_architecture_without_a_builder_names_the_cure(tiny: Callable, home: Path) -> None:
    folder = tiny(model_type="gpt5").folder

    with pytest.raises(ModelUnsupported, match=r"'gpt5' \(only for bert, .*onnx/model\.onnx"):
        LocalEmbedder(folder, home=home)


def test_the_graph_is_valid_and_ends_in_one_vector_a_text(tiny: Callable, tmp_path: Path) -> None:
    model = build(read_checkpoint(tiny().folder))
    onnx.checker.check_model(model, full_check=True)

    outputs = [
        [size.dim_param or size.dim_value for size in output.type.tensor_type.shape.dim]
        for output in model.graph.output
    ]

    assert [["batch", 24]] == outputs


def test_the_weights_are_in_a_file_of_their_own(tiny: Callable, tmp_path: Path) -> None:
    """A graph may exceed protobuf's 2 GB, and ONNX Runtime maps the file."""
    model = build(read_checkpoint(tiny(hidden_size=96).folder))
    total = sum(int(np.prod(tensor.dims)) * 4 for tensor in model.graph.initializer)

    save(model, tmp_path / "model.onnx")

    assert (tmp_path / "weights").stat().st_size > total * 0.8
    assert (tmp_path / "model.onnx").stat().st_size < total * 0.3


def test_the_same_checkpoint_builds_the_same_graph(tiny: Callable) -> None:
    checkpoint = read_checkpoint(tiny().folder)

    assert build(checkpoint).SerializeToString() == build(checkpoint).SerializeToString()
