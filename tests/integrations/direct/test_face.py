"""`direct` of the frameworks' classes: the same client underneath, and nothing secret on top."""

from __future__ import annotations

import copy
import inspect
import json
import pickle

import numpy as np
import pytest
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.schema import TextNode

from embedway_client import Client
from embedway_upstream.testing import fake_vectors
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

TEXTS = [f"text {number}" for number in range(70)]
EVERY = {
    "engine": "vllm",
    "invoke": "suffix",
    "platform": "oci",
    "resource_group": "g",
    "path": "/mine",
    "served_model": "n",
    "dimensions": 8,
    "query_prompt": "q: ",
    "document_prompt": "d: ",
    "batch_size": 50,
    "timeout": 5.0,
    "max_retries": 0,
    "fallback": "local",
    "vector_space": "vs1-a",
    "insecure": True,
}

faces = pytest.mark.parametrize("face", [EmbedwayEmbeddings, EmbedwayEmbedding])


@faces
def test_it_takes_what_the_client_takes(face):
    own = {"pace"}
    client = inspect.signature(Client.direct).parameters
    mine = inspect.signature(face.direct).parameters

    assert list(mine) == [name for name in client if name not in own]
    assert all(mine[name].default == client[name].default for name in mine)


@faces
def test_every_keyword_reaches_the_client(world, face):
    made = face.direct(**world.on_oci(**EVERY))
    settings = made._client._settings
    shown = {
        **settings.deployment.shown(),
        **{name: getattr(settings, name) for name in EVERY if hasattr(settings, name)},
    }

    assert {name: shown[name] for name in EVERY} == EVERY
    assert (made.base_url, made.model, made.dimensions) == (world.oci_url, "m", 8)
    assert (made.timeout, made.max_retries, made.insecure) == (5.0, 0, True)
    assert made.api_key is None
    assert face.direct(**world.on_plain(engine="onnx", pooling="cls"))


async def test_langchain(world):
    model = EmbedwayEmbeddings.direct(**world.on_oci(query_prompt="q: "))
    assert isinstance(model, EmbedwayEmbeddings)

    documents, query = model.embed_documents(TEXTS), model.embed_query("a")

    assert np.array_equal(np.float32(documents), fake_vectors(TEXTS, 8))
    assert np.array_equal(np.float32(query), fake_vectors(["q: a"], 8)[0])
    assert await model.aembed_documents(TEXTS) == documents
    assert await model.aembed_query("a") == query
    assert dict(world.oci.verdicts) == {"ok": 8}


async def test_llama_index(world):
    model = EmbedwayEmbedding.direct(**world.on_aicore(query_prompt="q: "))
    assert isinstance(model, BaseEmbedding)

    batch, query = model.get_text_embedding_batch(TEXTS), model.get_query_embedding("a")

    assert np.array_equal(np.float32(batch), fake_vectors(TEXTS, 8))
    assert np.array_equal(np.float32(query), fake_vectors(["q: a"], 8)[0])
    assert await model.aget_text_embedding_batch(TEXTS) == batch
    assert await model.aget_query_embedding("a") == query
    assert model.model_name == "m"


@faces
def test_nothing_that_is_shown_holds_the_credentials(world, face):
    for options in (world.on_aicore(), world.on_plain(credentials="planted-token")):
        model = face.direct(**options)
        shown = repr(model) + str(model) + repr(model.model_dump()) + repr(model._client)

        assert "planted" not in shown


@faces
def test_copies_share_the_signer_and_are_not_changed(world, face):
    model = face.direct(**world.on_oci())
    for twin in (copy.copy(model), copy.deepcopy(model), model.model_copy()):
        assert twin._client.embed(["a"]).shape == (1, 8)
    with pytest.raises(TypeError, match="call direct"):
        model.model_copy(update={"timeout": 1})

    assert dict(world.oci.verdicts) == {"ok": 3}


@faces
def test_pickling(world, face):
    with pytest.raises(TypeError, match="credentials are not pickled"):
        pickle.dumps(face.direct(**world.on_oci()))
    model = pickle.loads(pickle.dumps(face.direct(**world.on_plain(credentials="t"))))

    assert model._client.embed(["a"]).shape == (1, 8)
    assert world.engine.seen[0].headers["authorization"] == "Bearer t"


def test_what_llama_index_stores_is_all_but_the_credentials(world):
    options = world.on_oci(**{**EVERY, "path": None, "invoke": "predict", "fallback": None})
    model = EmbedwayEmbedding.direct(**options)
    stored = model.to_json()
    data = json.loads(stored)

    assert "BEGIN" not in stored
    assert "credentials" not in stored
    again = EmbedwayEmbedding.from_dict(data, credentials=world.signer())
    assert again.to_dict() == model.to_dict() == data
    assert again.get_text_embedding("a") == fake_vectors(["d: a"], 8)[0].tolist()
    with pytest.raises(ValueError, match="signer"):
        EmbedwayEmbedding.from_dict(data)


def test_a_pipeline_tells_two_deployments_apart(world):
    nodes = [TextNode(text="a")]
    made = [EmbedwayEmbedding.direct(**world.on_plain(document_prompt=p)) for p in ("", "", "d: ")]
    hashes = [get_transformation_hash(nodes, model) for model in made]

    assert hashes[0] == hashes[1] != hashes[2]
