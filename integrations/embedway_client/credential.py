"""What a caller of `direct` may give as credentials, made into credentials of ours."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from functools import partial

from embedway_client.environment import variables
from embedway_upstream import Bearer, Credentials, credentials_from

__all__ = ["accepted", "aicore_credentials", "is_oci"]


def accepted(value: object) -> Credentials:
    """
    What `credentials_from` takes, and beside it a bearer token, bare or as pydantic's `SecretStr`,
    and the service key of SAP AI Core, read or still JSON.

    Raises `TypeError` for anything else, `ValueError` for a token or a key that cannot be one, and
    `ImportError` where the extra is missing that signing for OCI needs.
    """
    # Not by its type: who has no SecretStr need not have pydantic.
    secret = getattr(value, "get_secret_value", None)
    if callable(secret):
        value = secret()
    if isinstance(value, str):
        # No token begins so (RFC 6750), and the key's secret would be sent to the deployment.
        is_key = value.lstrip().startswith("{")
        return aicore_credentials(value) if is_key else _bearer(value)
    if isinstance(value, Mapping) and "clientid" in value:
        return aicore_credentials(value)
    try:
        return credentials_from(value)
    except TypeError as error:
        raise TypeError(f"{error}, a bearer token (str), or a service key of AI Core") from None
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{error.name} is missing; to sign for OCI: pip install "embedway[oci]"',
            name=error.name,
        ) from error


def aicore_credentials(
    service_key: Mapping[str, object] | str | None = None, *, service_key_file: str | None = None
) -> Credentials:
    """
    The login to SAP AI Core: of a service key, read or still JSON; of a file that holds one, read
    again for each token; or, with neither, of what SAP's own SDK takes: `AICORE_SERVICE_KEY`, the
    other `AICORE_*`, `~/.aicore/config.json`, `VCAP_SERVICES`.

    Raises `ValueError`, which says what is missing, and never a secret.
    """
    from embedway_upstream.credentials.oauth2 import ClientCredentials
    from embedway_upstream.platforms.aicore_login import (
        find_login,
        login_from_file,
        login_from_service_key,
    )
    from embedway_upstream.proxy import read_proxies

    if service_key is not None and service_key_file is not None:
        raise ValueError("give either service_key or service_key_file")
    # As for the calls that follow: httpx looks there for them.
    proxy_of = read_proxies(variables()).of
    if service_key is not None:
        return ClientCredentials(login_from_service_key(service_key), proxy_of=proxy_of)
    if service_key_file is not None:
        again = partial(login_from_file, service_key_file)
    else:
        again = partial(find_login, variables())
    return ClientCredentials(again(), again=again, proxy_of=proxy_of)


def is_oci(credentials: Credentials) -> bool:
    """Whether they sign for OCI."""
    # Where there is an instance its module was imported; importing it brings cryptography.
    module = sys.modules.get("embedway_upstream.credentials.oci")
    return module is not None and isinstance(credentials, module.OCISignature)


def _bearer(token: str) -> Bearer:
    if not token.strip():
        raise ValueError("credentials is an empty token; give None where none is needed")
    return Bearer(token)
