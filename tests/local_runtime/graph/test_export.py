"""A checkpoint's own ONNX file: pooling and normalisation are added, the rest is kept."""

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from embedway_local import (
    LocalEmbedder,
    LocalError,
    ModelCorrupt,
    ModelNotFound,
    ModelUnsupported,
)
from embedway_local.checkpoint import read_checkpoint
from embedway_local.error import NotNumbers
from embedway_local.graph.build import build
from embedway_local.graph.outside import outside_names

TEXTS = ["", "a", "z y x w", "a b c d e f", "q q"]
HIDDEN = 24
TABLE = np.random.default_rng(7).normal(size=(30, HIDDEN)).astype(np.float32)
TYPES = np.random.default_rng(8).normal(size=(2, HIDDEN)).astype(np.float32)


def ids_of(text):
    return [1, *("abcdefghijklmnopqrstuvwxyz".index(word) + 4 for word in text.split()), 2]


def unit(rows):
    rows = np.array(rows)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def states(text):
    """What the export below computes for one text: (length, hidden)."""
    return TABLE[ids_of(text)] + TYPES[0]


def info(name, kind, shape):
    return helper.make_tensor_value_info(name, kind, shape)


def export(
    *,
    output: str = "last_hidden_state",
    opset: int = 17,
    kind: int = TensorProto.FLOAT,
    index: int = TensorProto.INT64,
    mask: bool = True,
    hidden: int | str = HIDDEN,
) -> onnx.ModelProto:
    """As transformers export: padding gets the vectors of [PAD], which pooling must leave out."""
    inputs = [info("input_ids", index, ["b", "s"]), info("token_type_ids", index, ["b", "s"])]
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("Gather", ["types", "token_type_ids"], ["kinds"]),
        helper.make_node("Add", ["words", "kinds"], [output]),
    ]
    if mask:
        inputs.append(info("attention_mask", index, ["b", "s"]))
    graph = helper.make_graph(
        nodes,
        "export",
        inputs,
        [info(output, kind, ["b", "s", hidden])],
        [
            numpy_helper.from_array(TABLE.astype(dtype), "table"),
            numpy_helper.from_array(TYPES.astype(dtype), "types"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def pooled(
    name: str = "sentence_embedding", size: int = 5, *, mask: bool = True
) -> onnx.ModelProto:
    """As sentence-transformers exports: with vectors of another size than the hidden one."""
    model = export(mask=mask)
    square = np.eye(HIDDEN, size, dtype=np.float32)
    model.graph.initializer.append(numpy_helper.from_array(square, "dense"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(0), "first"))
    model.graph.node.append(
        helper.make_node("Gather", ["last_hidden_state", "first"], ["head"], axis=1)
    )
    model.graph.node.append(helper.make_node("MatMul", ["head", "dense"], [name]))
    model.graph.output.append(info(name, TensorProto.FLOAT, ["b", size]))
    return model


@pytest.fixture
def folder(tiny: Callable) -> Path:
    """A checkpoint of an architecture that we cannot build, without an export yet."""
    made = tiny(model_type="unheard-of").folder
    (made / "model.safetensors").unlink()
    return made


def put(model: onnx.ModelProto, folder: Path, place: str = "onnx/model.onnx") -> None:
    path = folder / place
    path.parent.mkdir(exist_ok=True)
    onnx.save_model(model, path)


@pytest.mark.parametrize("place", ["onnx/model.onnx", "model.onnx"])
@pytest.mark.parametrize("pooling", ["cls", "mean", "last"])
def test_pooling_and_unit_length_are_added(
    folder: Path, home: Path, place: str, pooling: str
) -> None:
    put(export(), folder, place)
    take = {"cls": lambda x: x[0], "mean": lambda x: x.mean(0), "last": lambda x: x[-1]}[pooling]

    vectors = LocalEmbedder(folder, home=home, pooling=pooling).embed(TEXTS)

    expected = unit([take(states(text)) for text in TEXTS])
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"opset": 13},
        {"output": "token_embeddings"},
        {"output": "embedding"},
        {"output": "whatever"},
        {"index": TensorProto.INT32},
        {"hidden": "h"},
        {"kind": TensorProto.FLOAT16},
    ],
    ids=str,
)
def test_exports_of_all_kinds_are_run(folder: Path, home: Path, options: dict) -> None:
    put(export(**options), folder)

    vectors = LocalEmbedder(folder, home=home).embed(TEXTS)

    expected = unit([states(text).mean(0) for text in TEXTS])
    atol = 2e-3 if "kind" in options else 1e-6
    assert np.float32 == vectors.dtype
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=atol)


def test_vectors_that_the_export_pooled_are_only_normalised(folder: Path, home: Path) -> None:
    put(pooled(), folder)

    made = LocalEmbedder(folder, home=home)

    assert made.dimensions == 5
    expected = unit([states(text)[0][:5] for text in TEXTS])
    np.testing.assert_allclose(made.embed(TEXTS), expected, rtol=0, atol=1e-6)


def test_vectors_that_the_export_pooled_are_left_where_another_pooling_is_asked_for(
    folder: Path, home: Path
) -> None:
    """The vector space says which pooling it is, so it must be that one."""
    put(pooled(), folder)

    own = LocalEmbedder(folder, home=home)
    again = LocalEmbedder(folder, home=home, pooling="last")
    same = LocalEmbedder(folder, home=home, pooling="mean")

    expected = unit([states(text)[-1] for text in TEXTS])
    np.testing.assert_allclose(again.embed(TEXTS), expected, rtol=0, atol=1e-6)
    assert ("last", HIDDEN) == (again.space.pooling, again.dimensions)
    assert own.space == same.space
    np.testing.assert_array_equal(own.embed(TEXTS), same.embed(TEXTS))


def test_a_pooling_that_is_stated_and_one_that_is_asked_for_are_two_graphs(
    folder: Path, home: Path
) -> None:
    """Of an export that pools by itself: the first is its own, the second is made here."""
    put(pooled(), folder)
    again = LocalEmbedder(folder, home=home, pooling="cls")
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode": "cls"}')

    own = LocalEmbedder(folder, home=home)

    assert (HIDDEN, 5) == (again.dimensions, own.dimensions)


def test_a_pooling_that_the_export_cannot_be_asked_for_is_refused(folder: Path, home: Path) -> None:
    model = pooled()
    del model.graph.output[0]
    put(model, folder)

    assert 5 == LocalEmbedder(folder, home=home).dimensions
    with pytest.raises(ModelUnsupported, match=r"pooled in the graph.*'cls'; leave pooling= out"):
        LocalEmbedder(folder, home=home, pooling="cls")


@pytest.mark.parametrize(
    "outputs",
    [
        {"dense_vecs": ["b", HIDDEN], "sparse_vecs": ["b", "s", 1], "colbert": ["b", "s", HIDDEN]},
        {"dense_vecs": ["b", HIDDEN], "colbert_vecs": ["b", "s", HIDDEN]},
        {"sparse_vecs": ["b", "s", 1]},
        {"logits": ["b", "s", 30]},
        {"whatever": ["b", "s", "h"]},
    ],
    ids=str,
)
def test_what_a_head_makes_is_not_pooled(folder: Path, home: Path, outputs: dict) -> None:
    """bge-m3's exports gave ±1, those of masked language models a vector as wide as their words."""
    model = export()
    del model.graph.output[:]
    for name, shape in outputs.items():
        model.graph.node.append(helper.make_node("Identity", ["last_hidden_state"], [name]))
        model.graph.output.append(info(name, TensorProto.FLOAT, shape))
    put(model, folder)

    with pytest.raises(ModelUnsupported, match=rf"none that surely.*are {', '.join(outputs)}"):
        LocalEmbedder(folder, home=home)


@pytest.mark.parametrize("name", ["model.onnx_data", "model.onnx.data", "blob"])
def test_tensors_in_a_file_of_their_own_are_read_and_count(
    folder: Path, home: Path, name: str
) -> None:
    (folder / "onnx").mkdir()
    path = folder / "onnx" / "model.onnx"
    onnx.save_model(export(), path, save_as_external_data=True, location=name, size_threshold=0)
    before = LocalEmbedder(folder, home=home)
    data = bytearray((folder / "onnx" / name).read_bytes())
    data[-3] ^= 0x40
    (folder / "onnx" / name).write_bytes(data)

    after = LocalEmbedder(folder, home=home)

    expected = unit([states(text).mean(0) for text in TEXTS])
    np.testing.assert_allclose(before.embed(TEXTS), expected, rtol=0, atol=1e-6)
    assert before.space.fingerprint != after.space.fingerprint


def split(folder: Path, name: str = "blob") -> onnx.ModelProto:
    """Write an export whose tensors are in a file of their own; returns it as it was written."""
    (folder / "onnx").mkdir()
    path = folder / "onnx" / "model.onnx"
    onnx.save_model(export(), path, save_as_external_data=True, location=name, size_threshold=0)
    return onnx.load(path, load_external_data=False)


def move(model: onnx.ModelProto, folder: Path, **about: str) -> None:
    """Say something else of where its tensors are."""
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            entry.value = about.get(entry.key, entry.value)
    onnx.save_model(model, folder / "onnx" / "model.onnx")


@pytest.mark.parametrize(
    "place", ["../secret", "/etc/passwd", "sub/blob", "..", "", "C:blob", "a\\b", "model.onnx"]
)
def test_tensors_that_are_not_beside_the_model_are_refused(
    folder: Path, home: Path, place: str
) -> None:
    (folder / "secret").write_bytes(bytes(100_000))
    move(split(folder), folder, location=place)

    with pytest.raises(ModelUnsupported, match="not a file beside it"):
        LocalEmbedder(folder, home=home)


def test_a_file_of_tensors_that_is_missing_is_named(folder: Path, home: Path) -> None:
    split(folder)
    (folder / "onnx" / "blob").unlink()

    with pytest.raises(ModelNotFound, match="blob, which is not beside it"):
        LocalEmbedder(folder, home=home)


@pytest.mark.parametrize("about", [{"offset": "1000000"}, {"length": "99999999"}, {"offset": "-1"}])
def test_a_file_of_tensors_that_is_too_short_is_corrupt(
    folder: Path, home: Path, about: dict
) -> None:
    move(split(folder), folder, **about)

    with pytest.raises(ModelCorrupt, match="blob"):
        LocalEmbedder(folder, home=home)


def test_links_into_the_folder_of_the_model_itself_are_followed(folder: Path, home: Path) -> None:
    """The hub's cache is made of links."""
    split(folder)
    (folder / "blobs").mkdir()
    for name, digest in (("model.onnx", "1f"), ("blob", "2e")):
        place = folder / "onnx" / name
        place.rename(folder / "blobs" / digest)
        place.symlink_to(folder / "blobs" / digest)

    vectors = LocalEmbedder(folder, home=home).embed(TEXTS)

    expected = unit([states(text).mean(0) for text in TEXTS])
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)


def test_tensors_beyond_two_gigabytes_are_read(folder: Path) -> None:
    model = split(folder)
    far = 2**31 + 4096
    blob = folder / "onnx" / "blob"
    body = blob.read_bytes()
    with blob.open("r+b") as file:  # a hole, which takes no room
        file.truncate(0)
        file.seek(far)
        file.write(body)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "offset":
                entry.value = str(far + int(entry.value))
        if all(entry.key != "offset" for entry in tensor.external_data):
            tensor.external_data.add(key="offset", value=str(far))
    onnx.save_model(model, folder / "onnx" / "model.onnx")

    built = build(read_checkpoint(folder))

    weights = {item.name: numpy_helper.to_array(item) for item in built.graph.initializer}
    np.testing.assert_array_equal(weights["table"], TABLE)


def test_a_tensor_inside_of_a_node_is_found(folder: Path) -> None:
    model = export()
    tensor = numpy_helper.from_array(TABLE, "hidden")
    tensor.external_data.add(key="location", value="inside")
    tensor.data_location = TensorProto.EXTERNAL
    inner = helper.make_graph([helper.make_node("Constant", [], ["c"], value=tensor)], "g", [], [])
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["d"], then_branch=inner, else_branch=inner)
    )
    put(model, folder)

    assert ["inside"] == outside_names(folder / "onnx" / "model.onnx")


@given(st.binary(max_size=200))
def test_whatever_the_file_holds_there_are_names_or_an_error(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.onnx"
        path.write_bytes(body)
        with suppress(ModelCorrupt, ModelUnsupported):
            assert isinstance(outside_names(path), list)


def test_positions_that_are_counted_otherwise_are_refused(tiny: Callable, home: Path) -> None:
    folder = tiny(model_type="xlm-roberta", pad_token_id=1).folder
    (folder / "model.safetensors").unlink()
    model = export()
    model.graph.input.append(info("position_ids", TensorProto.INT64, ["b", "s"]))
    put(model, folder)

    with pytest.raises(ModelUnsupported, match="position_ids, which xlm-roberta counts"):
        LocalEmbedder(folder, home=home)


def test_positions_and_other_masks_are_given_to_exports(folder: Path, home: Path) -> None:
    model = export()
    for item in model.graph.input:
        if item.name == "attention_mask":
            item.type.tensor_type.elem_type = TensorProto.BOOL
    model.graph.input.append(info("position_ids", TensorProto.INT64, ["b", "s"]))
    steps = np.arange(40 * HIDDEN, dtype=np.float32).reshape(40, HIDDEN) % 7
    model.graph.initializer.append(numpy_helper.from_array(steps, "steps"))
    model.graph.node[-1].output[0] = "unplaced"
    model.graph.node.append(helper.make_node("Gather", ["steps", "position_ids"], ["places"]))
    model.graph.node.append(helper.make_node("Add", ["unplaced", "places"], ["last_hidden_state"]))
    put(model, folder)

    vectors = LocalEmbedder(folder, home=home).embed(TEXTS)

    expected = unit([(states(text) + steps[: len(ids_of(text))]).mean(0) for text in TEXTS])
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-6)


def test_weights_are_taken_rather_than_an_export(tiny: Callable, home: Path) -> None:
    """So that a folder, the hub and the hub's cache give one vector space."""
    model = tiny()
    before = LocalEmbedder(model.folder, home=home)
    put(export(), model.folder)

    after = LocalEmbedder(model.folder, home=home)

    assert before.space == after.space
    np.testing.assert_array_equal(before.embed(TEXTS), after.embed(TEXTS))


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (lambda: export(opset=12), ModelUnsupported, "opset"),
        (lambda: export(mask=False), ModelUnsupported, "attention_mask"),
        (lambda: pooled(mask=False), ModelUnsupported, "attention_mask"),
        (lambda: pooled("logits"), None, ""),
    ],
    ids=["old opset", "no mask", "no mask of pooled", "more outputs"],
)
def test_an_export_that_cannot_be_pooled_is_refused(
    folder: Path, home: Path, model: Callable, error: type[Exception] | None, words: str
) -> None:
    put(model(), folder)

    if error is None:
        assert LocalEmbedder(folder, home=home).dimensions == HIDDEN
    else:
        with pytest.raises(error, match=words):
            LocalEmbedder(folder, home=home)


def test_an_export_without_token_vectors_names_its_outputs(folder: Path, home: Path) -> None:
    model = pooled("logits")
    del model.graph.output[0]
    put(model, folder)

    with pytest.raises(ModelUnsupported, match="its outputs are logits"):
        LocalEmbedder(folder, home=home)


def test_an_input_that_we_do_not_have_is_named(folder: Path, home: Path) -> None:
    model = export()
    model.graph.input.append(info("pixel_values", TensorProto.FLOAT, ["b", 3]))
    put(model, folder)

    with pytest.raises(ModelUnsupported, match="pixel_values"):
        LocalEmbedder(folder, home=home)


@pytest.mark.parametrize("body", [b"", b"no protobuf at all", b"\x08\x08" * 40])
def test_a_file_that_is_no_onnx_is_corrupt(folder: Path, home: Path, body: bytes) -> None:
    put(export(), folder)
    (folder / "onnx" / "model.onnx").write_bytes(body)

    with pytest.raises((ModelCorrupt, ModelUnsupported), match=r"model\.onnx"):
        LocalEmbedder(folder, home=home)


@pytest.mark.parametrize("where", ["initializer", "attribute", "branch", "function"])
@pytest.mark.parametrize("name", ["elsewhere.bin", "../secret", "/etc/passwd"])
def test_tensors_elsewhere_are_refused_wherever_they_hide(
    folder: Path, home: Path, where: str, name: str
) -> None:
    """They would not count in the fingerprint, and could be any file of this machine."""
    model = export()
    tensor = onnx.TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=name)
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    if where == "initializer":
        model.graph.initializer.append(tensor)
    elif where == "attribute":
        model.graph.node.append(constant)
    elif where == "branch":
        branch = helper.make_graph([constant], "b", [], [info("c", TensorProto.FLOAT, [1])])
        node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
        model.graph.node.append(node)
    else:
        opset = [helper.make_opsetid("", 17)]
        function = helper.make_function("own", "f", [], ["c"], [constant], opset)
        model.functions.append(function)
    path = folder / "onnx" / "model.onnx"
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())

    with pytest.raises((ModelUnsupported, ModelNotFound), match="its tensors are in"):
        LocalEmbedder(folder, home=home)


def test_vectors_that_are_no_numbers_are_an_error(folder: Path, home: Path) -> None:
    model = export()
    table = TABLE.copy()
    table[4] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))
    put(model, folder)

    with LocalEmbedder(folder, home=home, device="cpu") as made:
        made.embed(["b c"])
        with pytest.raises(LocalError, match=r"not numbers .*: text 1$"):
            made.embed(["b", "a"])
        # Tokenised by windows, and sorted by length within.
        many = [*["b c b"] * 2100, "a", *["b"] * 30]
        with pytest.raises(NotNumbers) as caught:
            made.embed(many)
        assert (2100,) == caught.value.rows
        with pytest.raises(NotNumbers, match=r": text 0$"):
            made.embed(["a"])


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=4),
    st.none() | st.integers(0, 900),
)
def test_an_export_with_any_bytes_changed_embeds_or_is_a_local_error(
    folder: Path, home: Path, changes: list[tuple[int, int]], end: int | None
) -> None:
    put(export(), folder)
    path = folder / "onnx" / "model.onnx"
    body = bytearray(path.read_bytes())
    names = body.rindex(b"types")  # behind the numbers, of which any are fine
    for place, value in changes:
        body[place if place < 300 else names + place % (len(body) - names)] = value
    path.write_bytes(body[:end])
    try:
        with LocalEmbedder(folder, home=home, device="cpu", threads=1) as made:
            vectors = made.embed(TEXTS)
    except LocalError:
        return
    assert np.isfinite(vectors).all()


def test_tensors_behind_a_link_out_of_the_folder_are_refused(folder: Path, home: Path) -> None:
    (folder / "onnx").mkdir()
    data = folder / "onnx" / "model.onnx_data"
    onnx.save_model(
        export(),
        folder / "onnx" / "model.onnx",
        save_as_external_data=True,
        location=data.name,
        size_threshold=0,
    )
    secret = folder.parent / "secret"
    data.rename(secret)
    data.symlink_to(secret)

    with pytest.raises(LocalError, match="symbolic link"):
        LocalEmbedder(folder, home=home)
