"""A deployment called without a gateway: what is sent, what is believed, what is tried again."""

from __future__ import annotations

import asyncio
import json
import threading

import numpy as np
import pytest

from doubles.tiny_bert import write_tiny_bert
from embedway_client import VectorSpaceChanged
from embedway_upstream import (
    BadReply,
    BadVector,
    BatchTooLarge,
    RateLimited,
    UpstreamFailed,
    UpstreamRefused,
    UpstreamUnreachable,
    Usage,
)
from embedway_upstream.testing import fake_vectors

TEXTS = [f"text number {index}" for index in range(150)]
ENGINES = ["tei", "ovms", "onnx", "infinity", "vllm", "openai"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("where", ["on_oci", "on_aicore", "on_plain"])
def test_every_engine_on_every_platform(world, direct, ask, where, engine):
    with direct(**getattr(world, where)(engine=engine, dimensions=8)) as client:
        result = ask(client, TEXTS)

    np.testing.assert_array_equal(result.vectors, fake_vectors(TEXTS, 8))
    assert result.vectors.dtype == np.float32
    assert not result.fallback
    if where == "on_oci":
        assert dict(world.oci.verdicts) == {"ok": len(world.engine.seen)}


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({}, "/predict"),
        ({"invoke": "route"}, "/v1/embeddings"),
        ({"invoke": "suffix", "engine": "ovms"}, "/v3/embeddings"),
        ({"invoke": "suffix", "path": "/mine"}, "/mine"),
    ],
)
def test_the_path_travels_as_the_deployment_wants_it(world, direct, ask, options, path):
    with direct(**world.on_oci(**options)) as client:
        ask(client, ["a"])

    assert [seen.path for seen in world.engine.seen] == [path]


def test_no_request_has_more_texts_than_tei_takes(world, direct, ask):
    with direct(**world.on_plain(batch_size=100)) as client:
        ask(client, TEXTS)

    assert sorted(len(seen.body["input"]) for seen in world.engine.seen) == [22, 32, 32, 32, 32]


def test_a_smaller_batch_is_what_was_asked_for(world, direct, ask):
    with direct(**world.on_plain(batch_size=60, engine="vllm")) as client:
        ask(client, TEXTS)

    assert sorted(len(seen.body["input"]) for seen in world.engine.seen) == [30, 60, 60]


def test_a_mean_over_tokens_is_asked_for_one_by_one(world, direct, ask):
    with direct(**world.on_plain(engine="onnx", pooling="mean")) as client:
        ask(client, TEXTS[:3])

    assert [len(seen.body["input"]) for seen in world.engine.seen] == [1, 1, 1]


def test_requests_are_cut_by_the_size_of_their_json(world, direct, ask):
    texts = ["\x01" * 100_000] * 4  # 600 kB each, of the 2 MB that TEI takes
    with direct(**world.on_plain(query_prompt="\x01" * 100)) as client:
        ask(client, texts, input_type="query")

    assert sorted(len(seen.body["input"]) for seen in world.engine.seen) == [1, 3]
    assert max(int(seen.headers["content-length"]) for seen in world.engine.seen) < 2_000_000


def test_a_text_that_no_platform_takes_is_refused_here(world, direct, ask):
    with direct(**world.on_oci(engine="vllm")) as client, pytest.raises(BatchTooLarge):
        ask(client, ["x" * 10_000_001])

    assert world.oci.seen == []


def test_prompts_are_put_before_the_texts(world, direct, ask):
    with direct(**world.on_plain(query_prompt="q: ", document_prompt="d: ")) as client:
        ask(client, ["a"], input_type="query")
        ask(client, ["b"])

    assert [seen.body["input"] for seen in world.engine.seen] == [["q: a"], ["d: b"]]


def test_the_server_hears_its_own_name_of_the_model_and_no_dimensions(world, direct, ask):
    with direct(**world.on_oci(engine="vllm", served_model="odsc-llm", dimensions=8)) as client:
        ask(client, ["a"])

    assert world.engine.seen[0].body["model"] == "odsc-llm"
    assert "dimensions" not in world.engine.seen[0].body


def test_a_shuffled_reply_is_put_in_order(world, direct, ask):
    world.engine.faults.append("shuffled")
    with direct(**world.on_oci()) as client:
        result = ask(client, TEXTS[:9])

    np.testing.assert_array_equal(result.vectors, fake_vectors(TEXTS[:9], 8))
    assert result.usage == Usage(27, 27)


@pytest.mark.parametrize("fault", ["nan", "null", "zeros", "dropped", "duplicated", "ragged"])
def test_what_cannot_be_the_vectors_is_never_passed_on(world, direct, ask, fault):
    world.engine.faults.extend([fault] * 9)
    with direct(**world.on_oci()) as client, pytest.raises(BadReply) as caught:
        ask(client, ["a", "b", "c"])

    assert caught.value.upstream == "deployment"
    assert len(world.engine.seen) == 2


@pytest.mark.parametrize("word", ["nan", "infinite", "null", "zeros"])
def test_a_text_without_a_vector_is_named_by_its_index_among_all(world, direct, ask, word):
    world.engine.poison[TEXTS[100]] = word
    with direct(**world.on_plain(engine="tei")) as client, pytest.raises(BadVector) as caught:
        ask(client, TEXTS)

    assert caught.value.rows == (100,)
    assert "for the text at index 100; change that text or leave it out" in str(caught.value)
    assert TEXTS[100] not in str(caught.value)


def test_vectors_of_another_size_than_told_are_refused(world, direct, ask):
    with (
        direct(**world.on_plain(dimensions=384, max_retries=0)) as client,
        pytest.raises(BadReply, match="8 dimensions"),
    ):
        ask(client, ["a"])


def test_a_model_that_changes_its_size_is_noticed(world, direct, ask):
    with direct(**world.on_plain()) as client:
        ask(client, ["a"])
        world.engine.dimensions = 4
        with pytest.raises(VectorSpaceChanged):
            ask(client, ["a"])


@pytest.mark.parametrize(
    ("fault", "kind", "attempts"),
    [
        (503, UpstreamFailed, 3),
        ((429, "LB bandwidth limit exceeded."), RateLimited, 3),
        # It took 60 seconds or it raised: once more, not twice.
        (500, UpstreamFailed, 2),
        (404, UpstreamRefused, 1),
        (401, UpstreamRefused, 2),
    ],
)
def test_only_what_may_pass_is_tried_again(world, direct, ask, fault, kind, attempts):
    world.oci.faults.extend([fault] * 9)
    with direct(**world.on_oci()) as client, pytest.raises(kind) as caught:
        ask(client, ["a"])

    assert len(world.oci.seen) == attempts
    assert "request id" in str(caught.value)
    assert "secret words" not in str(caught.value)


def test_every_attempt_is_signed_anew(world, direct, ask):
    world.oci.faults.extend([503, 503])
    with direct(**world.on_oci()) as client:
        ask(client, ["a"])

    assert len({seen["opc-request-id"] for seen in world.oci.seen}) == 3
    assert dict(world.oci.verdicts) == {"ok": 1}


def test_many_threads_and_loops_share_one_client(world, direct):
    with direct(**world.on_oci()) as client:
        found: list[object] = []

        def work(number: int) -> None:
            texts = [f"{number} {index}" for index in range(70)]
            vectors = client.embed(texts) if number % 2 else asyncio.run(client.aembed(texts))
            found.append(np.array_equal(vectors, fake_vectors(texts, 8)))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert found == [True] * 8
    assert dict(world.oci.verdicts) == {"ok": 24}


def test_this_process_stands_in_only_for_the_space_that_was_named(
    model_in_store, direct, ask, nowhere
):
    from embedway_local import LocalEmbedder

    with LocalEmbedder(model_in_store) as local:
        space, expected = local.space.fingerprint, local.embed(["a text"])
    options = {"model": model_in_store, "url": nowhere, "fallback": "local"}
    with direct(**options, vector_space=space, dimensions=384) as client:
        result = ask(client, ["a text"])
    with (
        direct(**options, vector_space="vs1-other") as client,
        pytest.raises(UpstreamUnreachable) as caught,
    ):
        ask(client, ["a text"])

    np.testing.assert_allclose(result.vectors, expected, rtol=0, atol=1e-6)
    assert result.fallback
    assert "vs1-other" in caught.value.__notes__[0]


def test_this_process_stands_in_with_the_prompts_that_the_deployment_is_sent(
    tmp_path, direct, ask, nowhere
):
    """Those in the model's own files are put before no text that is sent."""
    from embedway_local import LocalEmbedder

    model = str(write_tiny_bert(tmp_path / "model"))
    own = {"prompts": {"query": "the car ", "document": "short "}}
    (tmp_path / "model" / "config_sentence_transformers.json").write_text(json.dumps(own))
    with LocalEmbedder(model) as local:
        prompted = local.space.fingerprint
    with LocalEmbedder(model, prompts={}) as local:
        bare, expected = local.space.fingerprint, local.embed(["Two words"])
    options = {"model": model, "url": nowhere, "fallback": "local"}
    with direct(**options, vector_space=bare) as client:
        result = ask(client, ["Two words"])
    with (
        direct(**options, vector_space=prompted) as client,
        pytest.raises(UpstreamUnreachable) as caught,
    ):
        ask(client, ["Two words"])

    np.testing.assert_allclose(result.vectors, expected, rtol=0, atol=1e-6)
    assert result.fallback
    assert f"the local model's vector space is {bare}" in caught.value.__notes__[0]


def test_nothing_is_asked_for_no_texts(world, direct, ask):
    with direct(**world.on_oci(dimensions=8)) as client:
        assert ask(client, []).vectors.shape == (0, 8)
    assert world.oci.seen == []


def test_what_is_sent_is_json_of_known_length(world, direct, ask):
    with direct(**world.on_oci()) as client:
        ask(client, ["ünï"])

    sent = world.oci.seen[0]
    assert sent["content-type"] == "application/json"
    assert "transfer-encoding" not in sent
    assert json.dumps(world.engine.seen[0].body["input"]) == json.dumps(["ünï"])
