"""Vectors that cannot be compared are not handed out side by side."""

from __future__ import annotations

import copy
import itertools
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedway_client import Client, VectorSpaceChanged
from langchain_embedway import EmbedwayEmbeddings
from llama_index.embeddings.embedway import EmbedwayEmbedding

SPACE = "x-embedway-vector-space"


def test_the_space_is_told_with_the_vectors(server, ask):
    server.headers[SPACE] = "vs1-a"
    with Client("m", base_url=server.url) as client:
        assert ask(client, ["a"]).vector_space == "vs1-a"


def test_a_server_that_does_not_tell_is_accepted(server, ask):
    with Client("m", base_url=server.url, vector_space="vs1-a") as client:
        assert ask(client, ["a"]).vector_space is None


def test_a_space_that_changes_between_calls_is_an_error(server, ask):
    with Client("m", base_url=server.url) as client:
        server.headers[SPACE] = "vs1-a"
        ask(client, ["a"])
        server.headers[SPACE] = "vs1-b"
        with pytest.raises(VectorSpaceChanged, match="vs1-a was expected, vs1-b came"):
            ask(client, ["a"])
        server.headers[SPACE] = "vs1-a"
        ask(client, ["a"])


def test_a_space_that_changes_within_a_call_is_an_error(server, ask, monkeypatch):
    spaces = iter(["vs1-a", "vs1-b", "vs1-b"])

    class Changing(dict):
        def items(self):
            return {SPACE: next(spaces)}.items()

    server.headers = Changing()
    with (
        Client("m", base_url=server.url, batch_size=1) as client,
        pytest.raises(VectorSpaceChanged),
    ):
        ask(client, ["a", "b", "c"])


def test_another_space_than_the_configured_one_is_an_error(server, ask):
    server.headers[SPACE] = "vs1-b"
    with (
        Client("m", base_url=server.url, vector_space="vs1-a") as client,
        pytest.raises(VectorSpaceChanged, match="vs1-a was expected, vs1-b came"),
    ):
        ask(client, ["a"])


def test_vectors_of_another_size_are_another_space(server, ask):
    """Also where the server tells no fingerprint."""
    with Client("m", base_url=server.url) as client:
        ask(client, ["a"])
        server.vectors.dimensions = 4
        with pytest.raises(
            VectorSpaceChanged, match="8 dimensions was expected, 4 dimensions came"
        ):
            ask(client, ["a"])


def test_a_change_may_be_accepted(server, ask):
    with Client("m", base_url=server.url, accept_space_change=True) as client:
        server.headers[SPACE] = "vs1-a"
        ask(client, ["a"])
        server.headers[SPACE] = "vs1-b"
        server.vectors.dimensions = 4

        assert ask(client, ["a"]).vector_space == "vs1-b"


def test_an_accepted_space_that_is_not_told_is_not_taken_for_the_former(server, ask):
    """Else this process would stand in for it with the former one's vectors."""
    with Client("m", base_url=server.url, accept_space_change=True) as client:
        server.headers[SPACE] = "vs1-a"
        ask(client, ["a"])
        del server.headers[SPACE]
        server.vectors.dimensions = 4
        ask(client, ["a"])

        assert client.vector_space is None


def test_the_error_says_what_it_means_and_how_to_go_on(server, ask):
    with Client("m", base_url=server.url, vector_space="vs1-a") as client:
        server.headers[SPACE] = "vs1-b"
        with pytest.raises(VectorSpaceChanged) as caught:
            ask(client, ["a"])

    told = str(caught.value)
    assert "vs1-a" in told
    assert "vs1-b" in told
    assert "index" in told
    assert 'accept_vector_space("vs1-b")' in told
    assert 'vector_space="vs1-b"' in told


def test_what_was_first_seen_is_pinned_and_told(server, ask):
    with Client("m", base_url=server.url) as client:
        assert client.vector_space is None
        server.headers[SPACE] = "vs1-a"
        ask(client, ["a"])

        assert client.vector_space == "vs1-a"


@pytest.mark.parametrize("named", ["vs1-b", None])
def test_a_change_is_accepted_once_and_then_pinned(server, ask, named):
    with Client("m", base_url=server.url) as client:
        server.headers[SPACE] = "vs1-a"
        ask(client, ["a"])
        server.headers[SPACE] = "vs1-b"
        server.vectors.dimensions = 4
        client.accept_vector_space(named)

        assert ask(client, ["a"]).vector_space == "vs1-b"
        assert client.vector_space == "vs1-b"
        server.headers[SPACE] = "vs1-c"
        with pytest.raises(VectorSpaceChanged):
            ask(client, ["a"])


def test_one_call_never_mixes_two_spaces(server, ask):
    """Not even where changes are accepted."""
    spaces = iter(["vs1-a", "vs1-b"])

    class Changing(dict):
        def items(self):
            return {SPACE: next(spaces)}.items()

    server.headers = Changing()
    with (
        Client("m", base_url=server.url, batch_size=1, accept_space_change=True) as client,
        pytest.raises(VectorSpaceChanged, match="while the texts were embedded"),
    ):
        ask(client, ["a", "b"])


def test_a_copy_and_a_pickle_keep_what_was_pinned(server, ask):
    with Client("m", base_url=server.url) as client:
        server.headers[SPACE] = "vs1-a"
        ask(client, ["a"])
        server.headers[SPACE] = "vs1-b"
        for other in (copy.deepcopy(client), pickle.loads(pickle.dumps(client))):
            with other, pytest.raises(VectorSpaceChanged):
                ask(other, ["a"])


def test_of_many_threads_none_gets_vectors_of_another_space_than_the_first(server):
    """Whichever answer comes first pins the space; no reply of the other one is handed out."""
    spaces = itertools.cycle(["vs1-a", "vs1-b"])

    class Changing(dict):
        def items(self):
            return {SPACE: next(spaces)}.items()

    server.headers = Changing()
    with Client("m", base_url=server.url) as client, ThreadPoolExecutor(8) as pool:

        def told(number):
            try:
                return client.encode([f"text {number}"]).vector_space
            except VectorSpaceChanged:
                return "refused"

        found = list(pool.map(told, range(40)))

    assert set(found) == {client.vector_space, "refused"}


def test_a_deployment_tells_no_space_but_its_size_is_held(server, ask):
    with Client.direct(model="m", url=server.url, engine="openai") as client:
        ask(client, ["a"])
        server.vectors.dimensions = 4
        with pytest.raises(VectorSpaceChanged, match="8 dimensions was expected, 4 dimensions"):
            ask(client, ["a"])
        client.accept_vector_space()

        assert ask(client, ["a"]).vectors.shape == (1, 4)


@pytest.mark.parametrize("face", [EmbedwayEmbeddings, EmbedwayEmbedding])
def test_the_faces_pin_and_accept(server, face):
    server.headers[SPACE] = "vs1-a"
    model = face(model="m", base_url=server.url)
    embed = model.embed_query if face is EmbedwayEmbeddings else model.get_query_embedding
    embed("a")
    assert model.pinned_vector_space == "vs1-a"
    server.headers[SPACE] = "vs1-b"
    with pytest.raises(VectorSpaceChanged, match="vs1-a was expected, vs1-b came"):
        embed("a")

    model.accept_vector_space("vs1-b")
    embed("a")

    assert model.pinned_vector_space == "vs1-b"
