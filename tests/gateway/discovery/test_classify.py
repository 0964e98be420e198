"""Every mark of a deployment, each way to call it, and the names it goes by."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doubles.oci_control_plane import deployment
from embedway_gateway.discovery.classify import Hint, Served, ambiguous, classify
from embedway_gateway.discovery.deployment import read_deployment
from embedway_gateway.discovery.found import Found

AQUA = {"OCI_AQUA": "active", "aqua_model_name": "catalog name"}
PREDICT = "MODEL_DEPLOY_PREDICT_ENDPOINT"
TEI = "iad.ocir.io/tenancy/text-embeddings-inference:1.5.0"
VLLM = "iad.ocir.io/tenancy/vllm-openai:0.11"


def found(
    *, hint: Hint | None = None, served: tuple[Served, ...] = (), **facts: Any
) -> list[Found]:
    one = read_deployment(deployment(**facts))
    return classify(one, source="oci", hint=hint, served=served)


def only(**facts: Any) -> Found:
    (one,) = found(**facts)
    return one


def endpoint(suffix: str, *methods: str) -> dict[str, Any]:
    return {"endpointUriSuffix": suffix, "httpMethods": list(methods or ("POST",))}


ROWS: list[tuple[str, dict[str, Any], tuple[str, str, str | None, str]]] = [
    # The mark, the facts, and what is found: engine, invoke, path, capabilities.
    (
        "1 /v1/embeddings",
        {"variables": {PREDICT: "/v1/embeddings"}},
        ("openai", "predict", None, "embed"),
    ),
    (
        "1 /v3/embeddings",
        {"variables": {PREDICT: "/v3/embeddings"}},
        ("ovms", "predict", None, "embed"),
    ),
    ("1 /embed", {"variables": {PREDICT: "/embed"}}, ("tei", "predict", "/embed", "embed")),
    (
        "1 without a slash",
        {"variables": {PREDICT: "v1/embeddings"}},
        ("openai", "predict", None, "embed"),
    ),
    (
        "1 oracle-ads' typo",
        {"variables": {PREDICT: "/v1/embedding"}},
        ("openai", "predict", "/v1/embedding", "embed"),
    ),
    (
        "1 AQUA's own test data",
        {
            "tags": AQUA,
            "image": "dsmc://image-name:1.0.0.0",
            "variables": {"BASE_MODEL": "service_models/x/artifact", PREDICT: "/v1/embeddings"},
        },
        ("openai", "predict", None, "embed"),
    ),
    (
        "1 infinity's own path",
        {"image": "x/infinity:0.0.77", "variables": {PREDICT: "/embeddings"}},
        ("infinity", "predict", None, "embed"),
    ),
    (
        "1 rerank",
        {"image": TEI, "variables": {PREDICT: "/rerank"}},
        ("tei", "predict", None, "rerank"),
    ),
    (
        "1 chat",
        {"image": VLLM, "variables": {PREDICT: "/v1/chat/completions"}},
        ("vllm", "predict", "/v1/chat/completions", "chat"),
    ),
    ("2 specification", {"specification": "openai"}, ("openai", "suffix", None, "embed")),
    ("2 in capitals", {"specification": "OpenAI"}, ("openai", "suffix", None, "embed")),
    (
        "2 specification, infinity",
        {"specification": "openai", "image": "x/infinity:1"},
        ("infinity", "suffix", "/v1/embeddings", "embed"),
    ),
    (
        "2 specification, vLLM: could be either",
        {"specification": "openai", "image": VLLM},
        ("vllm", "suffix", None, "chat embed"),
    ),
    (
        "2 a chat model with the specification embeds nothing",
        {"specification": "openai", "image": VLLM, "variables": {PREDICT: "/v1/completions"}},
        ("vllm", "suffix", None, "chat"),
    ),
    (
        "2 custom endpoint",
        {"endpoints": [endpoint("/v1/embeddings")]},
        ("openai", "suffix", None, "embed"),
    ),
    (
        "2 custom endpoint, OVMS",
        {"endpoints": [endpoint("v3/embeddings", "GET", "POST")], "image": "x/model_server:2026"},
        ("ovms", "suffix", None, "embed"),
    ),
    (
        "2 custom endpoint embed",
        {"endpoints": [endpoint("/embed")]},
        ("openai", "suffix", "/embed", "embed"),
    ),
    (
        "2 custom endpoints, both",
        {"endpoints": [endpoint("/embeddings"), endpoint("/rerank")], "image": "x/infinity:1"},
        ("infinity", "suffix", None, "embed rerank"),
    ),
    (
        "2 a part of the path left open",
        {"endpoints": [endpoint("/v1/{}")], "image": TEI},
        ("tei", "suffix", None, "embed"),
    ),
    (
        "3 --task embed in PARAMS",
        {"tags": AQUA, "variables": {"PARAMS": "--task embed --max-model-len 512"}},
        ("vllm", "route", None, "embed"),
    ),
    (
        "3 --task embedding",
        {"tags": AQUA, "variables": {"PARAMS": "--task embedding"}},
        ("vllm", "route", None, "embed"),
    ),
    (
        "3 --runner pooling in cmd",
        {"tags": AQUA, "cmd": ["--runner", "pooling"]},
        ("vllm", "route", None, "embed"),
    ),
    (
        "3 --convert=embed",
        {"tags": AQUA, "variables": {"PARAMS": "--convert=embed"}},
        ("vllm", "route", None, "embed"),
    ),
    (
        "3 what it was started for outweighs AQUA's /v1/completions",
        {"tags": AQUA, "variables": {"PARAMS": "--task embed", PREDICT: "/v1/completions"}},
        ("vllm", "route", None, "embed"),
    ),
    (
        "3 TEI's --model-id",
        {"tags": AQUA, "cmd": ["--model-id", "/opt/ds/model/deployed_model/x/", "--port", "8080"]},
        ("tei", "route", None, "embed"),
    ),
    (
        "3 infinity's command",
        {"tags": AQUA, "cmd": ["infinity_emb", "v2", "--model-id", "a/b"]},
        ("infinity", "route", None, "embed"),
    ),
    (
        "3 infinity's environment",
        {"tags": AQUA, "variables": {"INFINITY_MODEL_ID": "a/b"}},
        ("infinity", "route", None, "embed"),
    ),
    ("3 TEI's image", {"tags": AQUA, "image": TEI}, ("tei", "route", None, "embed")),
    (
        "3 AQUA's TEI",
        {"image": "dsmc://odsc-tei-serving:1.6"},
        ("tei", "route", None, "embed"),
    ),
    (
        "3 infinity's image",
        {"tags": AQUA, "image": "x/infinity:1"},
        ("infinity", "route", None, "embed"),
    ),
    (
        "3 OVMS' image",
        {"tags": AQUA, "image": "docker.io/openvino/model_server:2025.4-gpu"},
        ("ovms", "route", None, "embed"),
    ),
    (
        "3 vLLM's image could be either",
        {"tags": AQUA, "image": VLLM},
        ("vllm", "route", None, "chat embed"),
    ),
    (
        "5 the model's task",
        {"tags": AQUA, "image": VLLM, "hint": Hint(capability="embed")},
        ("vllm", "route", None, "embed"),
    ),
    (
        "5 the model's container",
        {"tags": AQUA, "image": "dsmc://x:1", "hint": Hint(engine="tei", capability="embed")},
        ("tei", "route", None, "embed"),
    ),
    (
        "5 a model that generates",
        {"tags": AQUA, "image": VLLM, "hint": Hint(capability="chat")},
        ("vllm", "route", None, "chat"),
    ),
    (
        "6 conda with our tag",
        {"environment": "DEFAULT", "tags": {"embedway": "minilm"}},
        ("onnx", "predict", None, "embed"),
    ),
    (
        "6 with facts",
        {
            "environment": "DEFAULT",
            "tags": {"Embedway": "minilm, engine=openai, path=/x, capabilities=embed+rerank"},
        },
        ("openai", "predict", "/x", "embed rerank"),
    ),
    (
        "tag over marks",
        {"image": TEI, "tags": {"embedway": "invoke=route"}},
        ("tei", "route", None, "embed"),
    ),
]


@pytest.mark.parametrize(("facts", "expected"), [pytest.param(*row[1:], id=row[0]) for row in ROWS])
def test_a_mark(facts: dict[str, Any], expected: tuple[str, str, str | None, str]) -> None:
    one = only(**facts)

    capabilities = " ".join(sorted(one.capabilities))
    assert expected == (one.engine, one.invoke, one.path, capabilities)
    assert deployment()["modelDeploymentUrl"] == one.url


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"environment": "DEFAULT"},
        {"environment": "UNKNOWN_ENUM_VALUE"},
        {"image": TEI, "tags": {"embedway": "off"}},
        {"variables": {PREDICT: "/generate"}},
        {"tags": {"task": "text_embedding", "name": "embedding"}},
    ],
)
def test_nothing_of_ours(facts: dict[str, Any]) -> None:
    assert [] == found(**facts)


@pytest.mark.parametrize(
    ("facts", "says"),
    [
        ({"image": TEI}, "MODEL_DEPLOY_PREDICT_ENDPOINT=/v1/embeddings"),
        ({"image": "openvino/model_server:1"}, "MODEL_DEPLOY_PREDICT_ENDPOINT=/v3/embeddings"),
        ({"tags": {"embedway": "x, engine=triton"}}, "engine must be one of"),
        ({"tags": {"embedway": "x, colour=red"}}, "colour"),
    ],
)
def test_what_cannot_be_called_says_how_it_could(facts: dict[str, Any], says: str) -> None:
    """Without the variable a TEI gets /predict, which classifies (§5.4)."""
    with pytest.raises(ValueError, match=says):
        found(**facts)


NAMES: list[tuple[dict[str, Any], str, str | None]] = [
    ({"tags": {**AQUA, "embedway": "mine"}}, "mine", "served"),
    ({"tags": {**AQUA, "embedway": "mine, model=theirs"}}, "mine", "theirs"),
    ({"tags": AQUA}, "served", "served"),
    ({"tags": AQUA, "variables": {}}, "catalog name", None),
    ({"variables": {}}, "deployment 1", None),
    (
        {"tags": AQUA, "variables": {"PARAMS": "--served-model-name /opt/m"}},
        "catalog name",
        "/opt/m",
    ),
    ({"variables": {}, "cmd": ["--served-model-name=a/b"]}, "a/b", "a/b"),
    (
        {"variables": {}, "cmd": ["--model-id", "BAAI/bge-base-en-v1.5"]},
        "BAAI/bge-base-en-v1.5",
        "",
    ),
    ({"variables": {}, "cmd": ["--model-id", "/opt/ds/x/"], "tags": AQUA}, "catalog name", None),
    ({"image": "x/infinity:1", "variables": {}, "cmd": ["--model-id", "/mnt/a/b"]}, "a/b", "a/b"),
    ({"image": "x/infinity:1", "variables": {"INFINITY_SERVED_MODEL_NAME": "c"}}, "c", "c"),
    ({"image": "x/ovms:1", "variables": {}, "cmd": ["--model_name", "d"]}, "d", "d"),
]


@pytest.mark.parametrize(("facts", "name", "model"), NAMES)
def test_names(facts: dict[str, Any], name: str, model: str | None) -> None:
    variables = facts.get("variables", {"PARAMS": "--served-model-name served"})
    one = only(**{**facts, "variables": {PREDICT: "/v1/embeddings", **variables}})

    assert name == one.name
    assert (name if model == "" else model) == one.model


def test_the_name_that_aqua_gives_every_vllm_is_only_an_alias() -> None:
    """Two models both called odsc-llm would be mixed up as replicas."""
    variables = {"PARAMS": "--served-model-name odsc-llm --task embed"}
    one = only(tags=AQUA, variables=variables)
    assert ("catalog name", ("odsc-llm",), "odsc-llm") == (one.name, one.aliases, one.model)


def test_several_models_on_one_deployment() -> None:
    models = [
        {"params": "--served-model-name a/one --task embed", "model_task": "text_generation"},
        {"params": "--served-model-name b/two", "model_task": "text_embedding"},
        {"params": "--served-model-name c/three", "model_task": "text_generation"},
        {"model_task": "text_embedding"},
        "broken",
    ]
    variables = {"MULTI_MODEL_CONFIG": json.dumps({"models": models}), PREDICT: "/v1/completions"}
    several = found(variables=variables, deployment_type="MODEL_GROUP", tags=AQUA)

    assert ["a/one", "b/two", "c/three"] == [one.name for one in several]
    assert ["embed", "embed", "chat"] == ["".join(one.capabilities) for one in several]
    assert {"route"} == {one.invoke for one in several}
    assert {"vllm"} == {one.engine for one in several}
    assert [one.name for one in several] == [one.model for one in several]


def test_a_broken_multi_model_config_is_no_model_at_all() -> None:
    assert [] == found(variables={"MULTI_MODEL_CONFIG": "{"})


def test_what_the_deployment_itself_says() -> None:
    facts: dict[str, Any] = {"specification": "openai"}
    both = (
        Served("a/one", "infinity", frozenset({"embed"})),
        Served("b/two", "infinity", frozenset({"rerank"})),
    )
    one, two = found(served=both, **facts)
    assert ("a/one", "a/one", "infinity") == (one.name, one.model, one.engine)
    assert ("b/two", {"rerank"}) == (two.name, two.capabilities)
    assert "/v1/embeddings" == one.path

    (single,) = found(served=both[:1], tags={"embedway": "mine"}, **facts)
    assert ("mine", "a/one") == (single.name, single.model)
    (path,) = found(served=(Served("/opt/model", "vllm"),), tags=AQUA, **facts)
    assert ("catalog name", "/opt/model", "vllm") == (path.name, path.model, path.engine)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"tags": AQUA, "image": VLLM}, True),
        ({"tags": AQUA, "image": "dsmc://x:1"}, True),
        ({"tags": AQUA, "image": TEI}, False),
        ({"image": VLLM}, False),
        ({"tags": {**AQUA, "embedway": "x"}, "image": VLLM}, False),
    ],
)
def test_only_what_is_ambiguous_is_looked_up(facts: dict[str, Any], expected: bool) -> None:
    assert expected == ambiguous(read_deployment(deployment(**facts)))


def test_an_upstreams_name_fits_a_header() -> None:
    assert "oci-toc1iadd0001" == only(image=TEI, tags=AQUA).upstream


MODEL: dict[str, Any] = {"image": TEI, "variables": {PREDICT: "/v1/embeddings", "MODEL_ID": "a/b"}}


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"state": "UPDATING", "display_name": "x", "created": "2027-01-01T00:00:00Z"}, True),
        ({"model_id": "ocid1.datasciencemodel.oc1.iad.other"}, False),
        ({"image": f"{TEI}-1"}, False),
        ({"cmd": ["--revision", "abc"]}, False),
        ({"variables": {**MODEL["variables"], "MODEL_ID": "a/c"}}, False),
        ({"tags": {"embedway": "pooling=cls"}}, False),
        ({"number": 2, "model_id": "ocid1.datasciencemodel.oc1.iad.m0001"}, False),
    ],
)
def test_what_may_be_another_model_has_another_identity(
    changes: dict[str, Any], same: bool
) -> None:
    names = {"tags": {"embedway": "engine=tei"}}
    before, after = only(**{**MODEL, **names}), only(**{**MODEL, **names, **changes})

    assert (before.identity == after.identity) is same
    assert before.created == 1767225601.0


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
words = st.sampled_from(
    ["--task", "embed", "--model-id", "/", '"', "{}", "openai", "v1/embeddings", "off", "=", ","]
)
lines = st.lists(words, max_size=5).map(" ".join)


@given(anything)
def test_any_json_is_read_or_refused(item: Any) -> None:
    with pytest.raises(ValueError):
        read_deployment(item)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "image": st.sampled_from([TEI, VLLM]) | anything,
            "environment": anything | st.just("OCIR_CONTAINER"),
            "cmd": st.lists(words, max_size=5) | anything,
            "variables": anything
            | st.dictionaries(st.sampled_from([PREDICT, "PARAMS", "MULTI_MODEL_CONFIG"]), lines),
            "specification": words | anything,
            "endpoints": st.lists(
                st.fixed_dictionaries(
                    {"endpointUriSuffix": words, "httpMethods": st.just(["POST"])}
                )
            )
            | anything,
            "tags": st.dictionaries(st.sampled_from(["embedway", "OCI_AQUA"]), lines) | anything,
            "state": anything,
            "display_name": anything,
            "model_id": anything,
        },
    )
)
def test_any_deployment_is_found_or_refused(facts: dict[str, Any]) -> None:
    item = json.loads(json.dumps(deployment(**facts)))
    try:
        one = read_deployment(item)
        several = classify(one, source="oci")
        ambiguous(one)
    except ValueError:
        return
    assert all(found.name and found.capabilities and found.invoke for found in several)
