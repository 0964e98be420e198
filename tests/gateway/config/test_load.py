"""A configuration file: what is accepted, and how mistakes are told."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from embedway_gateway.config.load import ConfigError, load_config
from embedway_gateway.config.schema import Config, default_config


def read(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Config:
    path = tmp_path / "embedway.yaml"
    path.write_text(dedent(text), "utf-8")
    return load_config(path, environment or {})


def problems(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, environment)
    return caught.value.problems


WHOLE = """
    server:
      host: 127.0.0.1
      port: 9000
      max_body_bytes: 10MiB
      request_timeout: 2m
    credentials:
      key: {type: bearer, token: "${TOKEN}"}
    models:
      - name: org/model
        aliases: [short]
        dimensions: 384
        matryoshka: [128, 256]
        max_tokens: 256
        prompts: {query: "query: ", document: ""}
        upstreams:
          - name: one
            engine: openai
            url: https://example.test/base
            credentials: key
            timeout: 500ms
            max_inputs: 32
          - {name: local, engine: local, priority: 1}
"""


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE, {"TOKEN": "s3cret"})
    model = config.models[0]

    assert 9000 == config.server.port
    assert 10 * 1024 * 1024 == config.server.max_body_bytes
    assert 120.0 == config.server.request_timeout
    assert "s3cret" == config.credentials["key"].token.get_secret_value()
    assert (128, 256) == model.matryoshka
    assert 0.5 == model.upstreams[0].timeout
    assert 1 == model.upstreams[1].priority


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    config = read(tmp_path, WHOLE, {"TOKEN": "s3cret"})

    assert "s3cret" not in repr(config)
    assert "s3cret" not in config.model_dump_json()


def test_every_mistake_is_reported_at_once_with_its_path(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        server: {prot: 1, port: eighty}
        models:
          - name: a
            dimensions: -1
            upstreams:
              - {name: x, engine: opneai, url: "https://example.test"}
              - {name: y, engine: openai, url: "https://example.test", timout: 5s}
          - name: b
            dimensions: 3
            upstreams: []
        """,
    )

    assert "server: unknown key 'prot'; did you mean 'port'?" in found
    assert any(text.startswith("server.port: ") for text in found)
    assert any(text.startswith("models[0].dimensions: ") for text in found)
    assert any(text.startswith("models[0].upstreams[0].engine: ") for text in found)
    assert "models[0].upstreams[1]: unknown key 'timout'; did you mean 'timeout'?" in found
    assert any(text.startswith("models[1].upstreams: ") for text in found)
    assert 6 == len(found), "and nothing that only follows from these"


def test_a_variable_that_is_not_set_is_named_with_its_path(tmp_path: Path) -> None:
    found = problems(tmp_path, WHOLE)

    assert ["credentials.key.token: the environment has no variable TOKEN"] == found


def test_messages_never_hold_values(tmp_path: Path) -> None:
    text = WHOLE.replace("port: 9000", 'port: "${TOKEN}"')

    found = problems(tmp_path, text, {"TOKEN": "s3cret"})

    assert found
    assert "s3cret" not in "".join(found)


@pytest.mark.parametrize(
    ("upstream", "part"),
    [
        ("engine: openai", "needs a url"),
        ("engine: openai, url: 'ftp://example.test'", "https://"),
        ("engine: openai, url: 'http://example.test'", "insecure: true"),
        ("engine: openai, url: 'https://user:pw@example.test'", "no user"),
        ("engine: openai, url: 'https://example.test?x=1'", "no user, query"),
        ("engine: local, url: 'https://example.test'", "takes no url"),
        ("engine: openai, url: 'https://example.test', credentials: nope", "no credentials 'nope'"),
        ("engine: openai, url: 'https://example.test', timeout: soon", "55s"),
        ("engine: openai, url: 'https://example.test', timeout: 0s", "greater than 0"),
        ("engine: openai, url: 'https://example.test', path: embeddings", "path"),
    ],
)
def test_an_upstream_that_cannot_work_is_refused(tmp_path: Path, upstream: str, part: str) -> None:
    found = problems(
        tmp_path,
        f"""
        models:
          - name: a
            dimensions: 3
            upstreams:
              - {{name: x, {upstream}}}
        """,
    )

    assert any(part in text for text in found), found


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_plain_http_is_accepted_on_this_machine(tmp_path: Path, host: str) -> None:
    config = read(
        tmp_path,
        f"""
        models:
          - name: a
            dimensions: 3
            upstreams: [{{name: x, engine: openai, url: "http://{host}:8000"}}]
        """,
    )

    assert f"http://{host}:8000" == config.models[0].upstreams[0].url


def test_a_name_may_be_taken_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        models:
          - {name: a, upstreams: [{name: x, engine: local}]}
          - {name: b, aliases: [a], upstreams: [{name: x, engine: local}]}
        """,
    )

    assert ["models[1]: the name 'a' is taken by models[0]"] == found


def test_a_remote_model_needs_dimensions(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        models:
          - {name: a, upstreams: [{name: x, engine: openai, url: "https://example.test"}]}
        """,
    )

    assert any("dimensions is needed" in text for text in found)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.test"])
def test_beyond_loopback_nothing_is_listened_on(tmp_path: Path, host: str) -> None:
    found = problems(
        tmp_path,
        f"""
        server: {{host: "{host}"}}
        models: [{{name: a, upstreams: [{{name: x, engine: local}}]}}]
        """,
    )

    assert any(text.startswith("server.host: ") and "loopback" in text for text in found)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("models: [", "not YAML"),
        ("- a\n- b", "keys and values"),
        ("", "keys and values"),
        ("models: &a [*a]", ""),
        ("models: !!python/object/apply:os.system ['true']", "not YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, text: str, part: str) -> None:
    found = problems(tmp_path, text)

    assert any(part in item for item in found), found


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.yaml")


def test_without_a_file_the_default_model_is_served_locally() -> None:
    config = default_config("sentence-transformers/all-MiniLM-L6-v2")

    assert ("minilm", "all-MiniLM-L6-v2") == config.models[0].aliases
    assert "local" == config.models[0].upstreams[0].engine


def test_a_token_that_no_header_can_carry_is_told_with_its_place(tmp_path: Path) -> None:
    found = problems(tmp_path, WHOLE, {"TOKEN": "s3cret\n"})

    assert any(text.startswith("credentials.key") and "header" in text for text in found), found
    assert "s3cret" not in "".join(found)


def test_a_key_that_is_given_twice_is_told_with_both_lines(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """\
        server: {port: 1, port: 2}
        base: &base {timeout: 5s}
        models:
          - name: a
            dimensions: 3
            upstreams:
              - <<: *base
                name: x
                engine: openai
                url: https://one.example.test
                timeout: 6s
                url: https://two.example.test
        """,
    )

    assert found[:2] == [
        "server.port: is given twice, in lines 1 and 1; keep one",
        "models[0].upstreams[0].url: is given twice, in lines 10 and 12; keep one",
    ]
    assert ["base" in text for text in found[2:]] == [True], "and nothing of what is merged"


def test_what_models_say_against_each_other_is_told_at_once(tmp_path: Path) -> None:
    found = problems(
        tmp_path,
        """
        models:
          - name: a
            dimensions: 3
            upstreams:
              - {name: x, engine: openai, url: "https://example.test", credentials: one}
              - {name: y, engine: openai, url: "https://example.test", credentials: two}
          - name: b
            aliases: [a, c]
            dimensions: 3
            upstreams: [{name: x, engine: openai, url: "https://example.test"}]
          - name: c
            dimensions: 3
            upstreams: [{name: x, engine: openai, url: "https://example.test"}]
        discovery:
          - {type: aicore, scenario_id: s, credentials: three}
        """,
    )

    assert found == [
        "discovery[0].credentials: no credentials 'three' (known: none are defined)",
        "models[1]: the name 'a' is taken by models[0]",
        "models[2]: the name 'c' is taken by models[1]",
        "models[0].upstreams[0].credentials: no credentials 'one' (known: none are defined)",
        "models[0].upstreams[1].credentials: no credentials 'two' (known: none are defined)",
    ]
