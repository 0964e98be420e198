"""Who else may change or read a configuration and the secrets that it names."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest

from embedway_gateway.config.exposure import exposures
from embedway_gateway.config.load import ConfigError, load_config
from embedway_gateway.config.watch import Watch

SECRET = "planted-5ecret"
SERVICE_KEY = {
    "clientid": "sb-x",
    "clientsecret": SECRET,
    "url": "https://tenant.authentication.sap.hana.ondemand.com",
    "serviceurls": {"AI_API_URL": "https://api.ai.example"},
}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="rights are POSIX's")


def configured(folder: Path, mode: int, **credentials: Any) -> Path:
    path = folder / "embedway.yaml"
    upstream = {"name": "up", "engine": "openai", "url": "https://up.example"}
    models = [{"name": "m", "dimensions": 8, "upstreams": [upstream]}]
    path.write_text(json.dumps({"credentials": credentials, "models": models}))
    path.chmod(mode)
    return path


def told(path: Path) -> list[str]:
    return list(exposures(load_config(path, {"TOKEN": SECRET}), path))


def file(folder: Path, name: str, text: str, mode: int) -> str:
    path = folder / name
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_what_everyone_may_write_is_refused(tmp_path: Path) -> None:
    path = configured(tmp_path, 0o646)
    with pytest.raises(ConfigError, match=f"chmod o-w {path}"):
        load_config(path)


def test_what_the_group_may_write_is_told(tmp_path: Path) -> None:
    (sentence,) = told(configured(tmp_path, 0o664))
    assert "chmod g-w" in sentence


@pytest.mark.parametrize(
    "credentials",
    [
        {"type": "bearer", "token": SECRET},
        {
            "type": "oauth2",
            "token_url": "https://id.example/token",
            "client_id": "x",
            "client_secret": SECRET,
        },
        {"type": "aicore", "service_key": SERVICE_KEY},
        {"type": "aicore", "service_key": json.dumps(SERVICE_KEY)},
    ],
)
def test_a_secret_that_everyone_may_read_is_told_and_not_shown(
    tmp_path: Path, credentials: dict[str, Any]
) -> None:
    (sentence,) = told(configured(tmp_path, 0o644, mine=credentials))
    assert "holds a secret" in sentence
    assert SECRET not in sentence
    for mode in (0o600, 0o640):
        assert told(configured(tmp_path, mode, mine=credentials)) == []


def test_a_secret_of_the_environment_is_none_of_the_file(tmp_path: Path) -> None:
    assert told(configured(tmp_path, 0o644, mine={"type": "bearer", "token": "${TOKEN}"})) == []


@pytest.mark.parametrize(("password", "count"), [("", 0), (f":{SECRET}@", 1)])
def test_an_address_of_redis_is_a_secret_when_it_holds_one(
    tmp_path: Path, password: str, count: int
) -> None:
    path = configured(tmp_path, 0o644)
    cache = {"type": "redis", "url": f"redis://{password}127.0.0.1:6379/0"}
    path.write_text(json.dumps({**json.loads(path.read_text()), "cache": cache}))
    assert len(told(path)) == count


@pytest.mark.parametrize(
    ("mode", "words"), [(0o600, None), (0o440, None), (0o644, "read"), (0o620, "written")]
)
def test_files_of_secrets_are_looked_at_too(tmp_path: Path, mode: int, words: str | None) -> None:
    key = file(tmp_path, "oci.pem", "a key", mode)
    profile = f"[DEFAULT]\nfingerprint=a\ntenancy=b\nuser=c\nkey_file={key}\n"
    stated = {"tenancy": "t", "user": "u", "fingerprint": "f", "key_file": key}
    service = file(tmp_path, "service.json", json.dumps(SERVICE_KEY), mode)
    path = configured(
        tmp_path,
        0o644,
        stated={"type": "oci", **stated},
        # Named twice, told once.
        profile={"type": "oci", "config_file": file(tmp_path, "config", profile, 0o644)},
        aicore={"type": "aicore", "service_key_file": service},
    )
    found = told(path)
    if words is None:
        assert found == []
    else:
        assert [sentence.split(",")[0] for sentence in found] == [key, service]
        assert all(words in sentence and "chmod 600" in sentence for sentence in found)


def test_a_file_that_is_not_there_is_somebody_elses_complaint(tmp_path: Path) -> None:
    gone = {"tenancy": "t", "user": "u", "fingerprint": "f", "key_file": str(tmp_path / "gone")}
    path = configured(tmp_path, 0o644, one={"type": "oci", **gone})
    assert told(path) == []


def test_a_gateway_says_so_at_its_start_and_with_each_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = configured(tmp_path, 0o644, mine={"type": "bearer", "token": SECRET})
    watch = Watch(path, lambda: load_config(path))
    watch.warn(watch.first())
    with caplog.at_level(logging.WARNING, "embedway.gateway"):
        assert watch.look(asked=True) is not None
    assert [record for record in caplog.messages if "holds a secret" in record]
    assert SECRET not in caplog.text
