"""Says who else may change or read the files that a configuration's secrets depend on."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from pydantic import BaseModel, SecretStr

from embedway_gateway.config.credential import AICoreConfig, OCIConfig
from embedway_gateway.config.document import read_yaml
from embedway_gateway.config.schema import Config
from embedway_upstream.credentials.error import CredentialsError

__all__ = ["exposures", "require_own"]


def require_own(path: Path) -> None:
    """
    Raise `ValueError` for a file that everyone on this machine may write: it says where texts and
    secrets are sent. One that cannot be looked at is none of those.
    """
    if _mode(path) & stat.S_IWOTH:
        raise ValueError(
            "everyone on this machine may write it, and so say where texts and secrets are sent: "
            f"chmod o-w {path}"
        )


def exposures(config: Config, path: Path) -> Iterator[str]:
    """
    What is wrong with the rights of `path`, the configuration's file, and of the files of secrets
    that it names: a sentence each, with its cure and without a secret. The file of keys looks after
    itself.
    """
    mode = _mode(path)
    if mode & stat.S_IWGRP:
        yield f"{path} may be written by its whole group: chmod g-w {path}"
    if mode & stat.S_IROTH and _holds_secrets(config, path):
        yield (
            f"{path} holds a secret and can be read by everyone on this machine: chmod 600 {path}, "
            "or write the secret as ${NAME}"
        )
    for file, what in dict.fromkeys(_secret_files(config)):
        mode = _mode(file)
        if mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield f"{file}, {what}, may be written by others than its owner: chmod 600 {file}"
        elif mode & stat.S_IROTH:
            yield f"{file}, {what}, can be read by everyone on this machine: chmod 600 {file}"


def _mode(path: Path) -> int:
    if os.name != "posix":
        return 0
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def _secret_files(config: Config) -> Iterator[tuple[Path, str]]:
    for credentials in config.credentials.values():
        if isinstance(credentials, AICoreConfig) and credentials.service_key_file is not None:
            yield _path(credentials.service_key_file), "a service key"
        if isinstance(credentials, OCIConfig):
            if credentials.key_file is not None:
                yield _path(credentials.key_file), "a private key"
            elif credentials.user is None and credentials.principal in {"api_key", "session"}:
                yield from _of_profile(credentials)


def _of_profile(credentials: OCIConfig) -> Iterator[tuple[Path, str]]:
    # Imported here: only OCI's own file needs it.
    from embedway_upstream.credentials.principal import default_config_file
    from embedway_upstream.credentials.profile import read_profile

    file = credentials.config_file or default_config_file()
    # Whoever signs with it says what is wrong with it.
    with contextlib.suppress(CredentialsError):
        entries = read_profile(file, credentials.profile)
        if entries.get("pass_phrase"):
            yield _path(file), "an OCI configuration with a pass phrase"
        if key := entries.get("key_file"):
            yield _path(key), "a private key"


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path(name)


def _holds_secrets(config: Config, path: Path) -> bool:
    """Whether one is written out, and not as `${NAME}`."""
    try:
        values, _ = read_yaml(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return False
    written = set(_scalars(values))
    return any(secret in written for secret in _secrets(config))


def _scalars(value: object) -> Iterator[str]:
    if isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _scalars(item)
    elif isinstance(value, str):
        yield value


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield from _parts(value.get_secret_value())
    elif isinstance(value, BaseModel):
        for _, item in value:
            yield from _secrets(item)
    elif isinstance(value, dict | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _secrets(item)


def _parts(secret: str) -> Iterator[str]:
    """What must not be read of it: of an address, nothing unless it holds a password."""
    if secret.startswith(("redis://", "rediss://")) and urlsplit(secret).password is None:
        return
    yield secret
    # A service key that was pasted into the file as YAML.
    if secret.lstrip().startswith("{"):
        with contextlib.suppress(ValueError):
            facts = json.loads(secret)
            for name in ("clientsecret", "key"):
                if isinstance(part := facts.get(name), str) and part:
                    yield part
