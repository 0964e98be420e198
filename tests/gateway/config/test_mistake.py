"""What is surely meant otherwise than it is written is refused, and told how to write it."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedway_gateway.config.load import ConfigError, load_config
from embedway_gateway.config.schema import Config

ENVIRONMENT = {"TEI_KEY": "s3cret", "tei_key": "s3cret", "ODD": "pa${ss$WORD"}
URL = "url: 'https://example.test'"


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "embedway.yaml"
    path.write_text(text, "utf-8")
    return load_config(path, ENVIRONMENT)


def upstream(tmp_path: Path, fields: str) -> Config:
    login = "credentials: {login: {type: bearer, token: t}}\n"
    model = f"models: [{{name: a, dimensions: 3, upstreams: [{{name: x, {fields}}}]}}]\n"
    return read(tmp_path, login + model)


def credentials(tmp_path: Path, fields: str) -> Config:
    model = f"models: [{{name: a, dimensions: 3, upstreams: [{{name: x, engine: tei, {URL}}}]}}]\n"
    return read(tmp_path, f"credentials:\n  login: {fields}\n{model}")


def bearer(tmp_path: Path, token: str) -> Config:
    return credentials(tmp_path, f"{{type: bearer, token: {token}}}")


@pytest.mark.parametrize(
    "token",
    [
        '"${TEI_KEY:-x}"',
        '"${tei-key}"',
        '"${}"',
        '"${TEI_KEY}${TEI_KEY"',
        "$TEI_KEY",
        "$tei_key",
        "$NOT_SET",
        "$(TEI_KEY)",
    ],
)
def test_a_variable_that_is_written_otherwise_is_no_token(tmp_path: Path, token: str) -> None:
    with pytest.raises(ConfigError) as caught:
        bearer(tmp_path, token)

    (problem,) = caught.value.problems
    assert problem.startswith("credentials.login.token: ")
    assert "${NAME}" in problem
    assert "s3cret" not in problem
    assert "tei" not in problem.casefold()


@pytest.mark.parametrize(
    ("token", "sent"),
    [
        ('"${TEI_KEY}"', "s3cret"),
        ("pa$$word", "pa$$word"),
        ("$ecret", "$ecret"),
        ("sb-1$XYZ", "sb-1$XYZ"),
        ('"${ODD}"', "pa${ss$WORD"),
    ],
)
def test_a_secret_may_hold_a_dollar(tmp_path: Path, token: str, sent: str) -> None:
    login = bearer(tmp_path, token).credentials["login"]

    assert sent == login.token.get_secret_value()  # type: ignore[union-attr]


KEY = "tenancy: t, fingerprint: f, key_file: /k"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (KEY, "tenancy, fingerprint, key_file without user: the key of a profile would sign"),
        ("key_content: x", "key_content without user"),
        (f"user: u, {KEY}, profile: PROD", "user beside profile: give either"),
        (f"user: u, {KEY}, config_file: c", "user beside config_file: give either"),
        ("principal: instance, profile: PROD", "principal instance does not read profile: leave"),
        (f"principal: instance, user: u, {KEY}", "does not read tenancy, user, fingerprint, key_f"),
        ("principal: resource, config_file: c", "principal resource does not read config_file"),
        ("principal: session, user: u", "principal session does not read user"),
        ("principal: ads, pass_phrase: x", "principal ads does not read pass_phrase"),
        ("principal: oke_workload, token_file: x", "oke_workload does not read token_file"),
        ("client_secret: x", "principal api_key does not read client_secret"),
        ("principal: delegation, token_file: t, client_id: x", "does not read client_id"),
    ],
)
def test_what_a_principal_does_not_read_is_refused(tmp_path: Path, fields: str, says: str) -> None:
    """Else another identity signs, without a word."""
    with pytest.raises(ConfigError) as caught:
        credentials(tmp_path, f"{{type: oci, {fields}}}")

    (problem,) = caught.value.problems
    assert problem.startswith("credentials.login: ")
    assert says in problem


@pytest.mark.parametrize(
    "fields",
    [
        f"user: u, {KEY}, pass_phrase: x, profile: DEFAULT, config_file: null",
        "profile: PROD, config_file: c, pass_phrase: x, requests_per_second: 20",
        "principal: session, profile: PROD, config_file: c",
        "principal: instance, federation_endpoint: 'https://auth.example', requests_per_second: 9",
        "principal: delegation, token_file: t, federation_endpoint: 'https://auth.example'",
        "principal: resource, profile: DEFAULT, user: null",
    ],
)
def test_what_a_principal_reads_is_taken(tmp_path: Path, fields: str) -> None:
    assert "oci" == credentials(tmp_path, f"{{type: oci, {fields}}}").credentials["login"].type


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ("engine: local, pooling: cls", "engine local runs in this process and takes no pooling"),
        ("engine: local, invoke: suffix", "takes no invoke"),
        ("engine: local, insecure: true", "takes no insecure"),
        ("engine: local, resource_group: g", "takes no resource_group"),
        (f"engine: tei, {URL}, device: cuda", "device is for engine local"),
        ("engine: litellm, model: cohere/x, device: cpu", "device is for engine local"),
        ("engine: litellm, model: cohere/x, invoke: route", "takes no invoke"),
        (f"engine: vllm, {URL}, invoke: route", "invoke is for platform oci: state that platform"),
        (f"engine: tei, {URL}, resource_group: g", "resource_group is for platform aicore: state"),
    ],
)
def test_what_an_upstream_does_not_read_is_refused(tmp_path: Path, fields: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        upstream(tmp_path, fields)

    (problem,) = caught.value.problems
    assert problem.startswith("models[0].upstreams[0]: ")
    assert says in problem


@pytest.mark.parametrize(
    "fields",
    [
        "engine: local, pooling: null, invoke: predict, insecure: false, device: cuda",
        f"engine: tei, {URL}, device: auto, insecure: true",
        f"engine: vllm, {URL}, platform: oci, credentials: login, invoke: route",
        f"engine: infinity, {URL}, platform: aicore, credentials: login, resource_group: g",
    ],
)
def test_a_default_may_be_written_out(tmp_path: Path, fields: str) -> None:
    assert "x" == upstream(tmp_path, fields).models[0].upstreams[0].name


@pytest.mark.parametrize("word", ["yes", "no", "on"])
@pytest.mark.parametrize("field", ["request_timeout", "drain_delay", "max_body_bytes"])
def test_yes_is_neither_a_duration_nor_a_size(tmp_path: Path, field: str, word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f"server: {{{field}: {word}}}\n" + MODEL)

    (problem,) = caught.value.problems
    assert problem.startswith(f"server.{field}: not understood; write it as ")


MODEL = "models: [{name: a, upstreams: [{name: x, engine: local}]}]\n"
