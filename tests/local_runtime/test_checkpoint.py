import json
from collections.abc import Callable
from pathlib import Path

import pytest

from embedway_local import LocalError, ModelCorrupt, ModelNotFound, ModelUnsupported, Pooling
from embedway_local.checkpoint import read_checkpoint


def write(folder: Path, name: str, value: object) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(value))


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": "cls", "include_prompt": True}, "cls"),
        ({"pooling_mode": ["lasttoken"]}, "last"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, "mean"),
        ({"pooling_mode_lasttoken": True}, "last"),
    ],
    ids=str,
)
def test_pooling_is_read_as_old_and_new_versions_write_it(
    tiny: Callable, settings: dict, pooling: str
) -> None:
    folder = tiny().folder
    write(folder, "1_Pooling/config.json", settings)

    assert pooling == read_checkpoint(folder).pooling


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"pooling_mode": "max"}, "pooling max"),
        ({"pooling_mode": ["mean", "cls"]}, r"mean \+ cls"),
        ({"pooling_mode_max_tokens": True, "pooling_mode_mean_tokens": True}, r"mean \+ max"),
        ({}, "pass pooling="),
    ],
    ids=str,
)
def test_pooling_that_we_do_not_have_is_refused(tiny: Callable, settings: dict, words: str) -> None:
    folder = tiny().folder
    write(folder, "1_Pooling/config.json", settings)

    with pytest.raises(ModelUnsupported, match=words):
        read_checkpoint(folder)


@pytest.mark.parametrize("pooling", [None, "mean"])
def test_pooling_without_the_prompt_is_refused_for_one_may_come_from_the_caller(
    tiny: Callable, pooling: Pooling | None
) -> None:
    folder = tiny().folder
    write(folder, "1_Pooling/config.json", {"pooling_mode": "mean", "include_prompt": False})

    with pytest.raises(ModelUnsupported, match="leaves out the prompt"):
        read_checkpoint(folder, pooling=pooling)


def test_the_place_of_the_pooling_is_read_from_the_modules(tiny: Callable) -> None:
    folder = tiny().folder
    write(folder, "3_Pooling/config.json", {"pooling_mode": "cls"})
    kinds = ["models.Transformer", "new.place.pooling.Pooling", "Normalize"]
    modules = [
        {"type": f"sentence_transformers.{kind}", "path": path}
        for kind, path in zip(kinds, ["", "3_Pooling", "4"], strict=True)
    ]
    write(folder, "modules.json", modules)

    assert "cls" == read_checkpoint(folder).pooling


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("custom_st.Transformer", "custom_st.Transformer.*never run"),
        ("Transformer", "'Transformer'.*never run"),
        ("sentence_transformers.models.Dense", "a Dense module"),
    ],
)
def test_a_module_that_is_not_run_is_refused(tiny: Callable, kind: str, words: str) -> None:
    """voyage-4-nano and jina-embeddings-v3 bring a Transformer of their own."""
    folder = tiny().folder
    write(folder, "modules.json", [{"type": kind, "path": ""}])

    with pytest.raises(ModelUnsupported, match=words):
        read_checkpoint(folder)


CUSTOM = [
    ("qwen3", "modeling_qwen3_bidirectional.Qwen3BidirectionalModel"),
    ("qwen3", "modeling.Qwen3ModelOfOurs"),
    ("bert", "jinaai/jina-bert-implementation--modeling_bert.JinaBertModel"),
    ("xlm-roberta", "jinaai/xlm-roberta-flash-implementation--modeling_lora.XLMRobertaLoRA"),
    ("of-its-own", "modeling.Model"),
]


@pytest.mark.parametrize(("kind", "name"), CUSTOM)
def test_a_model_of_custom_code_is_refused(tiny: Callable, kind: str, name: str) -> None:
    mapped = {"AutoConfig": "configuration.Config", "AutoModel": name}
    folder = tiny(model_type=kind, auto_map=mapped).folder

    with pytest.raises(ModelUnsupported, match=rf"{name.rpartition('.')[2]}.*never run.*onnx"):
        read_checkpoint(folder, buildable={kind})


@pytest.mark.parametrize(("kind", "name"), CUSTOM)
def test_a_model_of_custom_code_is_run_from_its_export(
    tiny: Callable, kind: str, name: str
) -> None:
    folder = tiny(model_type=kind, pad_token_id=1, auto_map={"AutoModel": name}).folder
    (folder / "model.onnx").touch()

    assert folder / "model.onnx" == read_checkpoint(folder, buildable={kind}).onnx


@pytest.mark.parametrize(
    ("kind", "mapped"),
    [
        ("new", {"AutoModel": "Alibaba-NLP/new-impl--modeling.NewModel"}),
        ("gte", {"AutoModel": "modeling_hf_alibaba_nlp_gte.GteModel"}),
        (
            "nomic_bert",
            {"AutoModel": "nomic-ai/nomic-bert-2048--modeling_hf_nomic_bert.NomicBertModel"},
        ),
        ("roberta", {"AutoModel": "modeling_roberta.RobertaModel"}),
        ("bert", {"AutoModelForMaskedLM": "modeling_bert.BertForMaskedLM"}),
        ("bert", {"AutoConfig": "c.Config", "AutoTokenizer": ["t.Slow", None]}),
        ("bert", None),
    ],
)
def test_code_that_the_graph_is_that_of_is_no_reason(
    tiny: Callable, kind: str, mapped: object
) -> None:
    """Of Alibaba's, Snowflake's and nomic's models, and where transformers has the class too."""
    folder = tiny(model_type=kind, pad_token_id=1, auto_map=mapped).folder

    assert (folder / "model.safetensors",) == read_checkpoint(folder, buildable={kind}).weights


@pytest.mark.parametrize(
    ("card", "tokenizer", "config", "asked", "expected"),
    [
        (None, None, 20, None, 20),
        (8, None, 20, None, 8),
        (8, 4, 20, None, 8),
        (None, 4, 20, None, 4),
        (99, None, 20, None, 20),
        (None, 10**30, 20, None, 20),
        (None, 1e30, 20, None, 20),
        (-1, 7, 20, None, 7),
        (8, None, None, None, 8),
        (8, None, 20, 15, 15),
    ],
)
def test_the_cards_maximum_comes_first(
    tiny: Callable, *, card: object, tokenizer: object, config: object, asked: object, expected: int
) -> None:
    """As in sentence-transformers; and never more than there are positions."""
    model = tiny()
    write(model.folder, "sentence_bert_config.json", {"max_seq_length": card})
    write(model.folder, "tokenizer_config.json", {"model_max_length": tokenizer})
    write(model.folder, "config.json", {**model.config, "max_position_embeddings": config})

    assert expected == read_checkpoint(model.folder, max_tokens=asked).max_tokens


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta"])
def test_the_card_has_the_encoders_name_in_older_models(tiny: Callable, kind: str) -> None:
    folder = tiny().folder
    write(folder, "sentence_bert_config.json", {})
    settings = {"max_seq_length": 8, "do_lower_case": True}
    write(folder, f"sentence_{kind}_config.json", settings)
    write(folder, "sentence_xlnet_config.json", {"max_seq_length": 9})

    found = read_checkpoint(folder)

    assert (8, True) == (found.max_tokens, found.lowercase)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model_args": {"rotary_scaling_factor": 2}}, "model_args: rotary_scaling_factor"),
        ({"model_kwargs": {"rope_scaling": {"type": "ntk"}}}, "model_kwargs: rope_scaling"),
        ({"config_args": {"dtype": "float32", "is_causal": False}}, "config_args: is_causal"),
        ({"config_kwargs": {"hidden_act": "relu"}}, "config_kwargs: hidden_act"),
        ({"tokenizer_args": {"do_lower_case": True}}, "tokenizer_args: do_lower_case"),
        ({"processor_kwargs": {"model_max_length": 9}}, "processor_kwargs: model_max_length"),
        ({"processing_kwargs": {"text": {"max_length": 9}}}, "text: max_length"),
        ({"query_length": 8}, "query_length is not supported"),
    ],
    ids=str,
)
def test_arguments_that_may_change_a_vector_are_refused(
    tiny: Callable, settings: dict, words: str
) -> None:
    folder = tiny().folder
    write(folder, "sentence_bert_config.json", settings)

    with pytest.raises(ModelUnsupported, match=words):
        read_checkpoint(folder)


def test_arguments_that_change_no_vector_are_none(tiny: Callable) -> None:
    folder = tiny().folder
    loading = {"trust_remote_code": True, "torch_dtype": "float16", "attn_implementation": "sdpa"}
    settings = {
        "max_seq_length": 8,
        "model_args": loading,
        "config_args": {"use_memory_efficient_attention": False, "unpad_inputs": False},
        "tokenizer_args": {"padding_side": "left"},
        "processor_kwargs": None,
        "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
    }
    write(folder, "sentence_bert_config.json", settings)

    assert 8 == read_checkpoint(folder).max_tokens


@pytest.mark.parametrize("value", [[], "text", {"text": 3}])
def test_arguments_that_are_none_are_corrupt(tiny: Callable, value: object) -> None:
    folder = tiny().folder
    write(folder, "sentence_bert_config.json", {"processing_kwargs": value})

    with pytest.raises(ModelCorrupt, match="is not an object"):
        read_checkpoint(folder)


def test_positions_behind_the_padding_token_are_fewer(tiny: Callable) -> None:
    folder = tiny(model_type="xlm-roberta", max_position_embeddings=514, pad_token_id=1).folder

    assert 512 == read_checkpoint(folder).max_tokens


def test_no_maximum_anywhere_names_the_cure(tiny: Callable) -> None:
    model = tiny()
    write(model.folder, "config.json", {**model.config, "max_position_embeddings": None})

    with pytest.raises(ModelUnsupported, match="pass max_tokens="):
        read_checkpoint(model.folder)


def test_more_than_there_are_positions_cannot_be_asked_for(tiny: Callable) -> None:
    with pytest.raises(ValueError, match="20 positions"):
        read_checkpoint(tiny().folder, max_tokens=21)


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("config.json", "not the folder of a model"),
        ("tokenizer.json", "save_pretrained"),
        ("model.safetensors", "pickled weights"),
    ],
)
def test_a_missing_file_is_named(tiny: Callable, missing: str, words: str) -> None:
    folder = tiny().folder
    (folder / missing).unlink()
    (folder / "pytorch_model.bin").touch()

    with pytest.raises(ModelNotFound, match=words):
        read_checkpoint(folder)


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "missing.safetensors"])
def test_a_shard_that_is_not_beside_its_index_is_refused(tiny: Callable, name: str) -> None:
    folder = tiny(shards=2).folder
    index = folder / "model.safetensors.index.json"
    write(folder, index.name, {"weight_map": {"x": name}})

    with pytest.raises(ModelCorrupt, match="not beside it"):
        read_checkpoint(folder)


def test_an_export_comes_before_weights_unless_the_graph_can_be_built(tiny: Callable) -> None:
    folder = tiny().folder
    (folder / "model.onnx").touch()

    assert folder / "model.onnx" == read_checkpoint(folder).onnx
    assert () == read_checkpoint(folder).weights
    assert None is read_checkpoint(folder, buildable={"bert"}).onnx


def test_every_error_is_of_one_family() -> None:
    for kind in (ModelNotFound, ModelCorrupt, ModelUnsupported):
        assert issubclass(kind, LocalError)
