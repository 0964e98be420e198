"""Vectors that cannot be compared are not handed out side by side."""

from __future__ import annotations

import pytest

from embedway_client import Client, VectorSpaceChanged

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
