"""
The logins that users of SAP AI Core have, found where SAP's own SDK finds them.

Order and names from `ai_core_sdk/credentials.py` of sap-ai-sdk-core 3.5.0: the first place that
has anything of a login is taken alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from embedway_upstream.credentials.credentials import Credentials
from embedway_upstream.credentials.oauth2 import ClientCredentials, Login

__all__ = ["address_of", "find_login", "group_of", "login_from_file", "login_from_service_key"]

_LABEL = "aicore"
# Paths are not shown: who mixes up two variables puts the key itself where its path belongs.
_KEY_FILE = "the file with the service key"
_VARIABLES = (
    "AICORE_CLIENT_ID",
    "AICORE_CLIENT_SECRET",
    "AICORE_AUTH_URL",
    "AICORE_BASE_URL",
    "AICORE_CERT_URL",
    "AICORE_CERT_STR",
    "AICORE_KEY_STR",
    "AICORE_CERT_FILE_PATH",
    "AICORE_KEY_FILE_PATH",
)
# What a login needs, as a service key names it and as the variables do.
_IN_A_KEY = ("clientid", "url", "certurl", "clientsecret, or certificate and key")
_IN_VARIABLES = (
    "AICORE_CLIENT_ID",
    "AICORE_AUTH_URL",
    "AICORE_CERT_URL",
    "AICORE_CLIENT_SECRET, or AICORE_CERT_STR and AICORE_KEY_STR",
)


def login_from_service_key(
    key: Mapping[str, object] | str, *, name: str = "the service key", resource_group: str = ""
) -> Login:
    """
    The login in an AI Core service key, secret or x509, read or still JSON. `ValueError` says
    what is missing from what `name` names, and never a value.
    """
    key = _object(key, name) if isinstance(key, str) else key
    services = key.get("serviceurls")
    api = services.get("AI_API_URL") if isinstance(services, Mapping) else None
    certified = key.get("certificate") and not key.get("clientsecret")
    values = {
        "AICORE_CLIENT_ID": key.get("clientid"),
        "AICORE_CLIENT_SECRET": key.get("clientsecret"),
        "AICORE_AUTH_URL": None if certified else key.get("url"),
        "AICORE_CERT_URL": key.get("certurl"),
        "AICORE_CERT_STR": key.get("certificate"),
        "AICORE_KEY_STR": key.get("key"),
        "AICORE_BASE_URL": api,
        "AICORE_RESOURCE_GROUP": resource_group,
    }
    return _login({one: str(value) for one, value in values.items() if value}, name, _IN_A_KEY)


def login_from_file(path: str) -> Login:
    """The login in a file with a service key. Raises like `login_from_service_key`."""
    return login_from_service_key(_text(Path(path), _KEY_FILE), name=_KEY_FILE)


def find_login(variables: Mapping[str, str]) -> Login:
    """
    The login to which the environment's variables lead: `AICORE_SERVICE_KEY`, else the single
    `AICORE_*`, else the same in a file (`AICORE_CONFIG`, else `config.json` or
    `config_{AICORE_PROFILE}.json` in `AICORE_HOME` or `~/.aicore`), else the service `aicore` in
    `VCAP_SERVICES`. `ValueError` says where it looked, or what is missing there.
    """
    group = variables.get("AICORE_RESOURCE_GROUP", "")
    if text := variables.get("AICORE_SERVICE_KEY"):
        return login_from_service_key(text, name="AICORE_SERVICE_KEY", resource_group=group)
    if any(variables.get(name) for name in _VARIABLES):
        return _login(variables, "the environment", _IN_VARIABLES)
    where, values = _configured(variables)
    if any(values.get(name) for name in _VARIABLES):
        group = group or values.get("AICORE_RESOURCE_GROUP", "")
        return _login({**values, "AICORE_RESOURCE_GROUP": group}, where, _IN_VARIABLES)
    key = next(_bound(variables.get("VCAP_SERVICES") or "{}"), None)
    if key is not None:
        name = f"the service {_LABEL} in VCAP_SERVICES"
        return login_from_service_key(key, name=name, resource_group=group)
    raise ValueError(
        "there is no login to SAP AI Core: the environment has no AICORE_SERVICE_KEY, no "
        f"AICORE_CLIENT_ID and what goes with it, and no service {_LABEL} in VCAP_SERVICES, and "
        f"{where} holds none; give a service key"
    )


def address_of(credentials: Credentials) -> str:
    """Where AI Core's API is, as the service key says; `ValueError` where it does not."""
    if isinstance(credentials, ClientCredentials) and credentials.login.api_url:
        return credentials.login.api_url
    raise ValueError("the credentials do not say where AI Core's API is")


def group_of(credentials: Credentials) -> str:
    """The resource group that goes with the login, else `default`."""
    known = credentials.login.resource_group if isinstance(credentials, ClientCredentials) else None
    return known or "default"


def _configured(variables: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """The configuration file of SAP's SDK: what to call it, and what it says."""
    profile = variables.get("AICORE_PROFILE") or "default"
    folder = variables.get("AICORE_HOME")
    place = f"config.json in {'AICORE_HOME' if folder else '~/.aicore'}"
    file = Path(folder or "~/.aicore", "config.json")
    stated = False
    if named := variables.get("AICORE_CONFIG"):
        place, file, stated = "the file of AICORE_CONFIG", Path(named), True
    elif profile != "default":
        place, stated = "the configuration file of AICORE_PROFILE", True
        file = file.with_name(f"config_{profile}.json")
    try:
        text = _text(file, place)
    except ValueError:
        if stated:
            raise
        return place, {}
    return place, {name: str(value) for name, value in _object(text, place).items() if value}


def _bound(text: str) -> Iterator[dict[str, object]]:
    """The service keys of AI Core that Cloud Foundry bound to this process."""
    for label, services in _object(text, "VCAP_SERVICES").items():
        for service in services if isinstance(services, list) else []:
            if isinstance(service, dict) and service.get("label", label) == _LABEL:
                key = service.get("credentials")
                yield key if isinstance(key, dict) else {}


def _text(file: Path, name: str) -> str:
    try:
        return file.expanduser().read_text("utf-8")
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except (ValueError, RuntimeError) as error:  # not a text, or nobody's home
        problem = type(error).__name__
    # Outside the except: those errors hold the path, or the bytes.
    raise ValueError(f"{name} cannot be read: {problem}")


def _object(text: str, name: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        # Outside the except: the decoder's error holds the whole text.
        raise ValueError(f"{name} is not a JSON object")  # noqa: TRY004
    return value


def _login(values: Mapping[str, str], where: str, names: tuple[str, str, str, str]) -> Login:
    get = values.get
    secret = get("AICORE_CLIENT_SECRET")
    cert = get("AICORE_CERT_STR") or get("AICORE_CERT_FILE_PATH")
    key = get("AICORE_KEY_STR") or get("AICORE_KEY_FILE_PATH")
    url = get("AICORE_AUTH_URL") if secret else get("AICORE_CERT_URL") or get("AICORE_AUTH_URL")
    client, plain, certified, proof = names
    missing = [] if get("AICORE_CLIENT_ID") else [client]
    missing += [] if url else [certified if cert and not secret else plain]
    missing += [] if secret or (cert and key) else [proof]
    if missing or not url:
        raise ValueError(f"{where} lacks {'; '.join(missing)}")
    try:
        return Login(
            token_url=url.rstrip("/").removesuffix("/oauth/token") + "/oauth/token",
            client_id=values["AICORE_CLIENT_ID"],
            client_secret=secret or None,
            cert=None if secret else cert,
            key=None if secret else key,
            api_url=(get("AICORE_BASE_URL") or "").rstrip("/").removesuffix("/v2") or None,
            resource_group=get("AICORE_RESOURCE_GROUP") or None,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
