"""Settings files come from strangers: each surprise is a `ModelCorrupt` that names the file."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedway_local import LocalError, ModelCorrupt
from embedway_local.checkpoint import read_checkpoint
from embedway_local.setting import Settings, read_list, read_settings

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
KEYS = [
    "model_type",
    "hidden_size",
    "max_position_embeddings",
    "pad_token_id",
    "max_seq_length",
    "do_lower_case",
    "model_max_length",
    "prompts",
    "pooling_mode",
    "pooling_mode_cls_token",
    "include_prompt",
    "weight_map",
    "type",
    "path",
]
READERS: list[Callable[[Settings, str], object]] = [
    lambda found, key: found.number(key),
    lambda found, key: found.real(key, default=1.0),
    lambda found, key: found.text(key),
    lambda found, key: found.flag(key),
    lambda found, key: found.names(key),
    lambda found, key: found.texts(key),
]


def error_of(read: Callable[[], object], kind: type[LocalError] = ModelCorrupt) -> str | None:
    """What the error says when reading raises one of this kind; any other is raised on."""
    try:
        read()
    except kind as error:
        return str(error)
    return None


@given(
    st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | values.map(json.dumps).map(str.encode)
)
def test_any_file_reads_as_settings_or_is_corrupt(body: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_bytes(body)
        for read in (read_settings, read_list):
            said = error_of(partial(read, path))

            assert said is None or str(path) in said


@given(values | st.integers(min_value=10**400), st.sampled_from(READERS))
def test_any_value_is_of_its_type_or_corrupt(
    value: object, read: Callable[[Settings, str], object]
) -> None:
    said = error_of(partial(read, Settings({"key": value}, "config.json"), "key"))

    assert said is None or "config.json: 'key' is not" in said


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    file=st.sampled_from(
        [
            "config.json",
            "sentence_bert_config.json",
            "tokenizer_config.json",
            "config_sentence_transformers.json",
            "1_Pooling/config.json",
            "modules.json",
            "model.safetensors.index.json",
        ]
    ),
    keys=st.lists(st.sampled_from(KEYS), max_size=3),
    data=st.data(),
)
def test_a_folder_of_garbage_is_a_local_error(
    tiny: Callable, file: str, keys: list[str], data: st.DataObject
) -> None:
    folder = tiny().folder
    for other in folder.glob("*.json"):
        if other.name not in {"config.json", "tokenizer.json"}:
            other.unlink()
    if file.startswith("model."):
        (folder / "model.safetensors").unlink()
    body: object = {key: data.draw(values) for key in keys}
    if file == "modules.json" and data.draw(st.booleans()):
        body = [body, data.draw(values)]
    (folder / file).write_text(json.dumps(body))
    said = error_of(lambda: read_checkpoint(folder).pad, LocalError)

    assert said is None or str(folder) in said


def test_a_missing_file_reads_as_empty(tmp_path: Path) -> None:
    assert {} == read_settings(tmp_path / "none.json").values
    assert [] == read_list(tmp_path / "none.json")


@pytest.mark.parametrize("body", ["[" * 200_000, "9" * 5000, '{"a": ' * 99_999])
def test_json_that_breaks_parsers_is_corrupt(tmp_path: Path, body: str) -> None:
    (tmp_path / "config.json").write_text(body)

    with pytest.raises(ModelCorrupt, match=r"config\.json: not JSON"):
        read_settings(tmp_path / "config.json")


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "config.json").open("wb") as file:
        file.truncate(17 * 1024 * 1024)

    with pytest.raises(ModelCorrupt, match="larger than"):
        read_settings(tmp_path / "config.json")


def test_a_folder_in_place_of_a_file_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "config.json").mkdir()

    with pytest.raises(ModelCorrupt, match="cannot be read"):
        read_settings(tmp_path / "config.json")
