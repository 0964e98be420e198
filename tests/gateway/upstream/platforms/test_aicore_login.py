"""The logins that users of AI Core have: where they are found, and what is said of half a one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedway_upstream.platforms.aicore_login import (
    find_login,
    login_from_file,
    login_from_service_key,
)

KEY = {
    "clientid": "sb-client",
    "clientsecret": "planted-secret",
    "url": "https://tenant.authentication.example",
    "serviceurls": {"AI_API_URL": "https://api.ai.example"},
}
X509 = {
    "clientid": "sb-client",
    "certificate": "-----BEGIN CERTIFICATE-----planted-secret",
    "key": "-----BEGIN PRIVATE KEY-----planted-secret",
    "certurl": "https://tenant.authentication.cert.example",
    "url": "https://tenant.authentication.example",
    "serviceurls": {"AI_API_URL": "https://api.ai.example/v2"},
}
SINGLE = {
    "AICORE_CLIENT_ID": "sb-client",
    "AICORE_CLIENT_SECRET": "planted-secret",
    "AICORE_AUTH_URL": "https://tenant.authentication.example/oauth/token",
    "AICORE_BASE_URL": "https://api.ai.example/v2",
}
BOUND = {"aicore": [{"label": "aicore", "credentials": KEY}]}
ELSEWHERE = {"AICORE_HOME": "/nowhere"}


def client(variables: dict[str, str]) -> str:
    return find_login({**ELSEWHERE, **variables}).client_id


@pytest.mark.parametrize(
    "variables",
    [
        {"AICORE_SERVICE_KEY": json.dumps(KEY), "AICORE_CLIENT_ID": "another"},
        {**SINGLE, "VCAP_SERVICES": "not looked at"},
        {"VCAP_SERVICES": json.dumps(BOUND)},
        {"VCAP_SERVICES": json.dumps({"aicore": [{"credentials": KEY}]})},
        {"VCAP_SERVICES": json.dumps({"other": [{"label": "other"}, 7], "x": 5, **BOUND})},
    ],
)
def test_a_login_is_found_where_saps_own_sdk_finds_it(variables: dict[str, str]) -> None:
    login = find_login({**ELSEWHERE, **variables, "AICORE_RESOURCE_GROUP": "research"})

    assert "https://tenant.authentication.example/oauth/token" == login.token_url
    assert ("sb-client", "planted-secret") == (login.client_id, login.client_secret)
    assert ("https://api.ai.example", "research") == (login.api_url, login.resource_group)
    assert "planted" not in repr(login)


def test_the_places_have_the_sdks_order(tmp_path: Path) -> None:
    """The first place that has anything is taken alone: nothing is put together from two."""
    (tmp_path / "config.json").write_text(json.dumps({**SINGLE, "AICORE_CLIENT_ID": "of the file"}))
    key = {"AICORE_SERVICE_KEY": json.dumps({**KEY, "clientid": "of the key"})}
    single = {**SINGLE, "AICORE_CLIENT_ID": "of the variables"}
    home = {"AICORE_HOME": str(tmp_path)}
    bound = {"VCAP_SERVICES": json.dumps(BOUND)}

    assert "of the key" == client({**key, **single, **home, **bound})
    assert "of the variables" == client({**single, **home, **bound})
    assert "of the file" == client({**home, **bound})
    assert "sb-client" == client(bound)
    with pytest.raises(ValueError, match="environment lacks AICORE_CLIENT_ID"):
        client({**home, **bound, "AICORE_BASE_URL": "https://x"})


def test_the_configuration_files_of_saps_sdk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".aicore"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("config.json", "config_prod.json", "another.json"):
        values = {**SINGLE, "AICORE_CLIENT_ID": name, "AICORE_RESOURCE_GROUP": "of-the-file"}
        (folder / name).write_text(json.dumps({**values, "AICORE_CERT_STR": None}))

    assert "config.json" == find_login({}).client_id
    assert "of-the-file" == find_login({}).resource_group
    assert "stated" == find_login({"AICORE_RESOURCE_GROUP": "stated"}).resource_group
    assert "config.json" == find_login({"AICORE_PROFILE": "default"}).client_id
    assert "config_prod.json" == find_login({"AICORE_PROFILE": "prod"}).client_id
    another = {"AICORE_CONFIG": "~/.aicore/another.json", "AICORE_PROFILE": "prod"}
    assert "another.json" == find_login(another).client_id


def test_a_certificates_key() -> None:
    login = login_from_service_key(X509)
    assert "https://tenant.authentication.cert.example/oauth/token" == login.token_url
    assert (X509["certificate"], X509["key"]) == (login.cert, login.key)
    assert login.client_secret is None
    assert "https://api.ai.example" == login.api_url
    files = {"AICORE_CERT_FILE_PATH": "c.pem", "AICORE_KEY_FILE_PATH": "k.pem"}
    urls = {"AICORE_CLIENT_ID": "a", "AICORE_CERT_URL": "https://cert.example"}
    found = find_login({**files, **urls})
    assert ("c.pem", "k.pem") == (found.cert, found.key)
    assert "https://cert.example/oauth/token" == found.token_url


@pytest.mark.parametrize("variables", [{}, {"VCAP_SERVICES": "{}"}, {"AICORE_RESOURCE_GROUP": "x"}])
def test_no_login_names_every_place(variables: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="no login to SAP AI Core") as caught:
        client(variables)
    for place in ("AICORE_SERVICE_KEY", "AICORE_CLIENT_ID", "config.json", "VCAP_SERVICES"):
        assert place in str(caught.value)


def without(*names: str) -> str:
    return json.dumps({name: value for name, value in KEY.items() if name not in names})


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"AICORE_SERVICE_KEY": "planted-secret"}, "AICORE_SERVICE_KEY is not a JSON object"),
        ({"AICORE_SERVICE_KEY": '["planted"]'}, "AICORE_SERVICE_KEY is not a JSON object"),
        ({"AICORE_SERVICE_KEY": "{}"}, "AICORE_SERVICE_KEY lacks clientid; url; clientsecret, or"),
        ({"AICORE_SERVICE_KEY": without("clientid")}, "KEY lacks clientid$"),
        ({"AICORE_SERVICE_KEY": without("url")}, "KEY lacks url$"),
        (
            {"AICORE_SERVICE_KEY": json.dumps({**X509, "certurl": "", "url": "https://planted"})},
            "KEY lacks certurl$",
        ),
        (
            {"AICORE_SERVICE_KEY": json.dumps({**KEY, "url": "http://planted.example"})},
            "KEY: token_url must begin with https://",
        ),
        ({"AICORE_CLIENT_ID": "a"}, "environment lacks AICORE_AUTH_URL; AICORE_CLIENT_SECRET, or"),
        ({"AICORE_CLIENT_ID": "a", "AICORE_CERT_STR": "planted"}, "lacks AICORE_CERT_URL; "),
        ({"VCAP_SERVICES": "planted"}, "VCAP_SERVICES is not a JSON object"),
        ({"VCAP_SERVICES": '{"aicore":[{"credentials":5}]}'}, "aicore in VCAP_SERVICES lacks"),
        ({"AICORE_CONFIG": "/planted"}, "file of AICORE_CONFIG cannot be read: No such file"),
        ({"AICORE_CONFIG": '{"planted":1}\0'}, "file of AICORE_CONFIG cannot be read: ValueErr"),
        ({"AICORE_PROFILE": "planted"}, "file of AICORE_PROFILE cannot be read: No such file"),
    ],
)
def test_half_a_login_says_what_it_lacks(variables: dict[str, str], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        client(variables)
    assert "planted" not in str(caught.value)
    assert caught.value.__context__ is None or caught.value.__suppress_context__


@pytest.mark.parametrize("content", [b"planted", b"\xff\xfe", None])
def test_a_file_that_is_no_service_key(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "planted.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=r"^the file with the service key ") as caught:
        login_from_file(str(file))
    assert "planted" not in str(caught.value)
