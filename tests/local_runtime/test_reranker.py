"""Cross-encoders, against sentence-transformers (reference/make_rerankers.py)."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from embedway_local import (
    DeviceUnavailable,
    LocalReranker,
    ModelCorrupt,
    ModelNotFound,
    ModelUnsupported,
)

REFERENCE = Path(__file__).parent / "reference" / "rerankers"
NAMES = sorted(folder.name for folder in REFERENCE.iterdir() if folder.is_dir())
PAIRS = json.loads((REFERENCE / "pairs.json").read_text())


def expected(name: str):
    scores = np.array(json.loads((REFERENCE / name / "expected.json").read_text()))
    return scores.reshape(len(PAIRS["queries"]), -1)


@pytest.fixture
def changed(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a reference model with other settings; None takes a setting away."""

    def make(name: str, file: str = "config.json", **changes: object) -> Path:
        folder = tmp_path / name
        shutil.copytree(REFERENCE / name, folder, dirs_exist_ok=True)
        path = folder / file
        before = json.loads(path.read_text()) if path.is_file() else {}
        settings = {**before, **changes}
        stated = {key: value for key, value in settings.items() if value is not None}
        path.write_text(json.dumps(stated))
        return folder

    return make


@pytest.mark.parametrize("name", NAMES)
def test_scores_equal_those_of_sentence_transformers(home: Path, name: str) -> None:
    """Pairs of mixed lengths in one call, some cut, and each alone."""
    with LocalReranker(REFERENCE / name, home=home) as reranker:
        for query, row in zip(PAIRS["queries"], expected(name), strict=True):
            together = reranker.rerank(query, PAIRS["documents"])
            alone = [reranker.rerank(query, [text])[0] for text in PAIRS["documents"]]

            assert np.float32 == together.dtype
            np.testing.assert_allclose(together, row, rtol=0, atol=1e-5)
            np.testing.assert_allclose(alone, row, rtol=0, atol=1e-5)


def test_what_it_cost_is_told(home: Path) -> None:
    ranking = LocalReranker(REFERENCE / "bert", home=home).score("a b", ["c", "d " * 100, ""])

    assert 1 == ranking.truncated
    assert (3 + 2 + 1) + 30 + (3 + 2) == ranking.tokens


def test_no_documents_have_no_scores(home: Path) -> None:
    assert (0,) == LocalReranker(REFERENCE / "bert", home=home).rerank("a", []).shape


def test_a_maximum_can_be_asked_for(home: Path) -> None:
    reranker = LocalReranker(REFERENCE / "bert", home=home, max_tokens=10)

    assert 10 == reranker.score("a b c", ["d " * 50]).tokens
    # The longer text is cut first, so the query is whole: 3 special tokens, 3 and 4.
    np.testing.assert_allclose(
        reranker.rerank("a b c", ["d " * 50]), reranker.rerank("a b c", ["d d d d"]), atol=1e-6
    )


def test_a_prompt_before_the_query_is_refused(changed: Callable, home: Path) -> None:
    said = {"prompts": {"web": "Find: "}, "default_prompt_name": "web"}

    with pytest.raises(ModelUnsupported, match="'web', its default_prompt_name"):
        LocalReranker(changed("bert", "config_sentence_transformers.json", **said), home=home)


@pytest.mark.parametrize(
    ("file", "settings", "activation"),
    [
        ("config.json", {"sentence_transformers": {"activation_fn": "torch.nn.Sigmoid"}}, "s"),
        ("config.json", {"sentence_transformers": None}, "s"),
        (
            "config.json",
            {
                "sentence_transformers": None,
                "sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity",
            },
            "i",
        ),
        (
            "config_sentence_transformers.json",
            {"activation_fn": "torch.nn.modules.activation.Sigmoid"},
            "s",
        ),
    ],
    ids=str,
)
def test_the_activation_is_read_wherever_it_is_written(
    changed: Callable, home: Path, file: str, settings: dict, activation: str
) -> None:
    folder = changed("bert-identity", file, **settings)

    scores = LocalReranker(folder, home=home).rerank(PAIRS["queries"][0], PAIRS["documents"])

    logits = expected("bert-identity")[0]
    wanted = logits if activation == "i" else 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(scores, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"model_input_names": ["input_ids", "attention_mask"]},
        {"model_input_names": None, "tokenizer_class": "XLMRobertaTokenizerFast"},
    ],
    ids=str,
)
def test_types_are_left_out_where_the_tokenizer_gives_none(
    changed: Callable, home: Path, settings: dict
) -> None:
    typed = LocalReranker(REFERENCE / "bert", home=home)
    untyped = LocalReranker(changed("bert", "tokenizer_config.json", **settings), home=home)

    assert abs(typed.rerank("a", ["b c"]) - untyped.rerank("a", ["b c"])).max() > 1e-3


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"architectures": ["BertModel"]}, ModelUnsupported, "not a cross-encoder"),
        ({"id2label": {"0": "no", "1": "yes"}}, ModelUnsupported, "2 labels"),
        ({"problem_type": "single_label_classification"}, ModelUnsupported, "problem_type"),
        ({"model_type": "nomic_bert", "n_embd": None}, (ModelUnsupported, ModelCorrupt), "n"),
        ({"sentence_transformers": {"activation_fn": "evil.Fn"}}, ModelUnsupported, "evil"),
        ({"sentence_transformers": {"activation_fn": 3}}, ModelUnsupported, "activation"),
    ],
    ids=str,
)
def test_what_gives_no_single_score_is_refused(
    changed: Callable, home: Path, changes: dict, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        LocalReranker(changed("bert", **changes), home=home)


def test_an_embedding_model_is_no_reranker(tiny: Callable, home: Path) -> None:
    with pytest.raises(ModelUnsupported, match="LocalEmbedder"):
        LocalReranker(tiny().folder, home=home)
    with pytest.raises(ModelNotFound, match="config"):
        LocalReranker(home.parent, home=home)


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "tensorrt"])
def test_a_card_is_refused_and_the_processor_named(home: Path, device: str) -> None:
    with pytest.raises(DeviceUnavailable, match="rerankers run on the processor") as caught:
        LocalReranker(REFERENCE / NAMES[0], home=home, device=device)
    assert 'device="cpu"' in str(caught.value)


def test_texts_that_are_none_are_refused(home: Path) -> None:
    reranker = LocalReranker(REFERENCE / "bert", home=home)

    with pytest.raises(TypeError, match="one string"):
        reranker.rerank("a", "b")
    with pytest.raises(TypeError, match="document 1 is of type int"):
        reranker.rerank("a", ["b", 1])
    with pytest.raises(TypeError, match="query 0"):
        reranker.rerank(None, ["b"])
    with pytest.raises(ValueError, match="document 0 has a lone surrogate"):
        reranker.rerank("a", ["\ud800"])
    with pytest.raises(ValueError, match="no room for a pair"):
        LocalReranker(REFERENCE / "bert", home=home, max_tokens=4)
    with pytest.raises(ValueError, match="threads"):
        LocalReranker(REFERENCE / "bert", home=home, threads=0)


def test_threads_share_it_and_a_closed_one_says_so(home: Path) -> None:
    query, row = PAIRS["queries"][0], expected("bert")[0]
    reranker = LocalReranker(REFERENCE / "bert", home=home, device="cpu")
    with reranker, ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: reranker.rerank(query, PAIRS["documents"]), range(8)))

    for scores in found:
        np.testing.assert_allclose(scores, row, rtol=0, atol=1e-5)
    assert "bert" in repr(reranker)
    with pytest.raises(RuntimeError, match="closed"):
        reranker.rerank("a", ["b"])


def test_a_forked_child_may_go_on(home: Path) -> None:
    reranker = LocalReranker(REFERENCE / "bert", home=home, device="cpu")
    before = reranker.rerank("a", ["b c"])
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(writer, reranker.rerank("a", ["b c"]).tobytes())
        finally:
            os._exit(0)
    os.close(writer)
    found = np.frombuffer(os.read(reader, 100), dtype=np.float32)
    os.waitpid(child, 0)
    os.close(reader)

    np.testing.assert_array_equal(before, found)


def export(labels: int) -> onnx.ModelProto:
    """The sum of the second text's tokens, as a transformers export names things."""

    def info(name: str, kind: int, shape: list) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, shape)

    names = ("input_ids", "attention_mask", "token_type_ids")
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["real"]),
        helper.make_node("Mul", ["real", "token_type_ids"], ["second"]),
        helper.make_node("Cast", ["second"], ["single"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["single", "axis"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "small"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "export",
        [info(name, TensorProto.INT64, ["b", "s"]) for name in names],
        [info("logits", TensorProto.FLOAT, ["b", labels])],
        [
            numpy_helper.from_array(np.array([1]), "axis"),
            numpy_helper.from_array(np.full((1, labels), 0.01, dtype=np.float32), "small"),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_an_export_of_another_architecture_is_run(changed: Callable, home: Path) -> None:
    folder = changed("bert", model_type="electra")
    onnx.save_model(export(1), folder / "model.onnx")

    scores = LocalReranker(folder, home=home).rerank("a b", ["c", "d e"])

    logits = np.array([6 + 2, 7 + 8 + 2]) * 0.01
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-6)


def test_an_export_of_several_labels_is_refused(changed: Callable, home: Path) -> None:
    folder = changed("bert", model_type="electra")
    onnx.save_model(export(2), folder / "model.onnx")

    with pytest.raises(ModelUnsupported, match="logits"):
        LocalReranker(folder, home=home)
