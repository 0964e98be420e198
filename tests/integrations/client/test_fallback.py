"""This process stands in for a server out of reach: in the same vector space, or not at all."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import sys
import threading
import time
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from doubles.gateway_process import running_gateway
from doubles.serving import served
from embedway_client import Client, Pace, VectorSpaceChanged
from embedway_local import LocalEmbedder, LocalEmbedding
from embedway_local.error import NotNumbers
from embedway_upstream import (
    BadVector,
    InvalidRequest,
    UpstreamFailed,
    UpstreamTimeout,
    UpstreamUnreachable,
)

SPACE = "x-embedway-vector-space"
TEXTS = ["a text", "and another one, rather longer", "третий"]


@pytest.fixture(scope="module")
def local(model_in_store):
    with LocalEmbedder(model_in_store) as embedder:
        yield embedder


class Lacking:
    """In the place of a `LocalEmbedder`: makes no numbers of one text."""

    dimensions = 4
    space = SimpleNamespace(fingerprint=f"vs1-{'0' * 16}")

    def encode(self, texts, *, input_type):
        if "bad" in texts:
            raise NotNumbers("the graph made no numbers", [texts.index("bad")])
        return LocalEmbedding(np.ones((len(texts), 4), np.float32), len(texts), 0)

    def close(self):
        pass


@pytest.mark.parametrize("progress", [None, lambda count: None])
def test_a_text_that_the_local_model_makes_no_numbers_of_is_named(monkeypatch, progress):
    monkeypatch.setattr("embedway_client.local._load", lambda *_: Lacking())
    with Client("m", base_url="local") as client, pytest.raises(BadVector) as caught:
        client.encode([*["fine"] * 300, "bad"], progress=progress)

    assert caught.value.rows == (300,)
    assert caught.value.message == (
        "the graph made no numbers for the text at index 300; change that text or leave it out"
    )


@pytest.fixture
def no_local(monkeypatch):
    """Loading the local model is a failure of the test."""

    def load(model, _precision, _prompts):
        raise AssertionError("the local model was loaded")

    monkeypatch.setattr("embedway_client.local._load", load)


class Line:
    """A line to a server that can be cut; `space` is what the server tells."""

    def __init__(self, space, dimensions=384):
        self.space = space
        self.dimensions = dimensions
        self.cut = False
        self.calls = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.cut:
            raise httpx.ConnectTimeout("timed out", request=request)
        count = len(json.loads(request.content)["input"])
        row = [1.0] + [0.0] * (self.dimensions - 1)
        data = [{"index": index, "embedding": row} for index in range(count)]
        return httpx.Response(200, json={"data": data}, headers={SPACE: self.space})

    def client(self, model, sleeper, **options):
        return Client(
            model,
            base_url="http://127.0.0.1/v1",
            fallback="local",
            http_client=httpx.Client(transport=httpx.MockTransport(self)),
            http_async_client=httpx.AsyncClient(transport=httpx.MockTransport(self)),
            pace=sleeper.pace,
            **options,
        )


def test_stands_in_when_the_server_is_gone_and_was_in_the_same_space(server, local, ask, sleeper):
    server.headers[SPACE] = local.space.fingerprint
    server.vectors.dimensions = 384
    with served(server) as address:
        client = Client(local.model, base_url=f"{address}/v1", fallback="local", pace=sleeper.pace)
        assert not ask(client, TEXTS).fallback
    result = ask(client, TEXTS, input_type="query")
    client.close()

    assert result.fallback
    assert result.vector_space == local.space.fingerprint
    assert result.usage.total_tokens > 0
    np.testing.assert_array_equal(result.vectors, local.embed(TEXTS))


@pytest.mark.parametrize("model", ["minilm", "sentence-transformers/all-MiniLM-L6-v2"])
def test_stands_in_for_the_real_gateway(local, model):
    """Learned from the gateway, which tells the same fingerprint for the same model."""
    with running_gateway() as gateway:
        gateway.wait_ready()
        client = Client(model, base_url=gateway.base_url, fallback="local", max_retries=0)
        remote = client.encode(TEXTS)
        gateway.stop()
        stand_in = client.encode(TEXTS)
        again = asyncio.run(client.aencode(TEXTS))
    client.close()

    assert (remote.fallback, stand_in.fallback, again.fallback) == (False, True, True)
    assert remote.vector_space == stand_in.vector_space == local.space.fingerprint
    np.testing.assert_allclose(stand_in.vectors, remote.vectors, atol=1e-5)
    np.testing.assert_array_equal(again.vectors, stand_in.vectors)
    assert remote.usage == stand_in.usage


def test_a_configured_space_needs_no_first_reply(nowhere, local, ask, sleeper):
    with Client(
        local.model,
        base_url=nowhere,
        fallback="local",
        vector_space=local.space.fingerprint,
        pace=sleeper.pace,
    ) as client:
        assert ask(client, TEXTS).fallback


def test_what_was_learned_survives_pickling(local, ask, sleeper):
    client = Line(local.space.fingerprint).client(local.model, sleeper)
    ask(client, TEXTS)
    # The copy has no line any more, and port 80 of this machine nobody listens on.
    copy = pickle.loads(pickle.dumps(client))

    assert ask(copy, TEXTS).fallback


def test_another_space_is_refused_and_the_original_error_says_why(local, ask, sleeper):
    line = Line("vs1-0123456789abcdef")
    client = line.client(local.model, sleeper)
    ask(client, TEXTS)
    line.cut = True
    with pytest.raises(UpstreamUnreachable, match="cannot connect") as caught:
        ask(client, TEXTS)

    [note] = caught.value.__notes__
    assert note.startswith('fallback="local" was not used: the local model')
    assert f"is {local.space.fingerprint}, the server's is vs1-0123456789abcdef" in note


def test_a_space_never_learned_is_refused_without_loading_anything(nowhere, ask, sleeper, no_local):
    with (
        Client("m", base_url=nowhere, fallback="local", pace=sleeper.pace) as client,
        pytest.raises(UpstreamUnreachable) as caught,
    ):
        ask(client, TEXTS)

    assert "the server's vector space is not known" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("status", "error"), [(503, UpstreamFailed), (502, UpstreamFailed), (400, InvalidRequest)]
)
@pytest.mark.usefixtures("no_local")
def test_a_server_that_answers_is_there(server, ask, status, error):
    server.error(status)
    with (
        Client(
            "m", base_url=server.url, fallback="local", vector_space="vs1-a", max_retries=0
        ) as client,
        pytest.raises(error) as caught,
    ):
        ask(client, TEXTS)

    assert not hasattr(caught.value, "__notes__")


def test_a_server_that_is_slow_is_there(server, ask, no_local):
    server.vectors.faults.append("hang")
    with (
        Client(
            "m",
            base_url=server.url,
            fallback="local",
            vector_space="vs1-a",
            timeout=0.2,
            max_retries=0,
        ) as client,
        pytest.raises(UpstreamTimeout),
    ):
        ask(client, TEXTS)


def test_without_fallback_nothing_stands_in(nowhere, ask, sleeper, no_local):
    with (
        Client("m", base_url=nowhere, vector_space="vs1-a", pace=sleeper.pace) as client,
        pytest.raises(UpstreamUnreachable) as caught,
    ):
        ask(client, TEXTS)

    assert not hasattr(caught.value, "__notes__")


def test_the_model_is_loaded_only_when_needed(ask, sleeper, no_local):
    client = Line("vs1-a").client("m", sleeper)

    assert not ask(client, TEXTS).fallback


def test_retries_come_first_but_not_again_while_the_server_stays_away(local, ask, sleeper):
    line = Line(local.space.fingerprint)
    client = line.client(local.model, sleeper)
    ask(client, TEXTS)
    line.cut, line.calls = True, 0

    ask(client, TEXTS)
    assert line.calls == 3
    ask(client, TEXTS)
    assert line.calls == 4


def test_the_server_is_used_again_when_it_is_back_and_each_outage_is_logged_once(
    local, ask, sleeper, caplog
):
    line = Line(local.space.fingerprint)
    client = line.client(local.model, sleeper)
    with caplog.at_level(logging.WARNING, "embedway.client"):
        answers = []
        for line.cut in (False, True, True, False, False, True):
            answers.append(ask(client, TEXTS).fallback)

    assert answers == [False, True, True, False, False, True]
    assert len(caplog.records) == 2
    assert "cannot connect to http://127.0.0.1" in caplog.text
    assert "a text" not in caplog.text


def test_the_rest_of_a_call_does_not_ask_again(local, ask, sleeper):
    """A black hole costs one connect timeout, not one for each of a thousand requests."""
    line = Line(local.space.fingerprint)
    client = line.client(local.model, sleeper, batch_size=1, max_retries=0)
    ask(client, ["a"])
    line.cut, line.calls = True, 0
    result = ask(client, [str(number) for number in range(20)])

    assert line.calls <= 4
    assert result.vectors.shape == (20, 384)


def test_dimensions_cannot_be_cut_here(local, ask, sleeper):
    line = Line(local.space.fingerprint, dimensions=128)
    client = line.client(local.model, sleeper, dimensions=128)
    ask(client, TEXTS)
    line.cut = True
    with pytest.raises(UpstreamUnreachable) as caught:
        ask(client, TEXTS)

    assert "vectors of 384 dimensions, and they are not cut" in caught.value.__notes__[0]


def test_a_model_that_cannot_be_had_leaves_the_original_error(tmp_path, ask, sleeper):
    line = Line("vs1-a")
    client = line.client(str(tmp_path / "no-such-model"), sleeper)
    ask(client, TEXTS)
    line.cut = True
    with pytest.raises(UpstreamUnreachable) as caught:
        ask(client, TEXTS)

    assert "no-such-model" in caught.value.__notes__[0]


def test_a_missing_extra_leaves_the_original_error(ask, sleeper, monkeypatch):
    monkeypatch.setitem(sys.modules, "embedway_local", None)
    line = Line("vs1-a")
    client = line.client("m", sleeper)
    ask(client, TEXTS)
    line.cut = True
    with pytest.raises(UpstreamUnreachable) as caught:
        ask(client, TEXTS)

    assert 'pip install "embedway[local]"' in caught.value.__notes__[0]


class TestInThisProcess:
    """`base_url="local"`."""

    def test_is_the_local_runtime(self, local, ask):
        with Client(local.model, base_url="local") as client:
            result = ask(client, TEXTS)
            again = ask(client, [])

        np.testing.assert_array_equal(result.vectors, local.embed(TEXTS))
        assert result.vector_space == again.vector_space == local.space.fingerprint
        assert not result.fallback
        assert again.vectors.shape == (0, 0)

    def test_knows_the_alias_of_the_default_model(self, local, ask):
        with Client("minilm", base_url="local", dimensions=384) as client:
            np.testing.assert_array_equal(ask(client, TEXTS).vectors, local.embed(TEXTS))

    def test_cuts_no_dimensions(self, local, ask):
        with (
            Client(local.model, base_url="local", dimensions=128) as client,
            pytest.raises(InvalidRequest, match="384 dimensions, and they are not cut"),
        ):
            ask(client, TEXTS)

    def test_refuses_another_space_than_the_configured_one(self, local, ask):
        with (
            Client(local.model, base_url="local", vector_space="vs1-other") as client,
            pytest.raises(VectorSpaceChanged),
        ):
            ask(client, TEXTS)

    @pytest.mark.parametrize("module", ["embedway_local", "onnxruntime", "tokenizers"])
    def test_names_the_extra_that_is_missing(self, local, ask, monkeypatch, module):
        for name in list(sys.modules):
            if name.partition(".")[0] in {"embedway_local", module}:
                monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, module, None)
        with (
            Client(local.model, base_url="local") as client,
            pytest.raises(ImportError, match=r'pip install "embedway\[local\]"'),
        ):
            ask(client, TEXTS)

    def test_is_loaded_once_by_many_threads(self, local, monkeypatch):
        loads = []

        def load(model, _precision, _prompts):
            loads.append(model)
            time.sleep(0.05)
            return local

        monkeypatch.setattr("embedway_client.local._load", load)
        client = Client(local.model, base_url="local")
        threads = [threading.Thread(target=client.embed, args=(TEXTS,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert loads == [local.model]

    async def test_does_not_block_the_event_loop(self, local, monkeypatch):
        monkeypatch.setattr("embedway_client.local._load", lambda *_: time.sleep(0.3) or local)
        client = Client(local.model, base_url="local")
        task = asyncio.create_task(client.aembed(TEXTS))
        ticks = 0
        while not task.done():
            await asyncio.sleep(0.01)
            ticks += 1

        assert ticks > 10


def test_pace_waits_for_real_by_default():
    assert Pace().sleep is time.sleep
    assert Pace().async_sleep is asyncio.sleep
    assert 0 <= Pace().jitter() < 1
