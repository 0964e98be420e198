"""What a caller of `direct` may give as credentials, made into credentials of ours."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from embedway_upstream import Bearer, Credentials, credentials_from

__all__ = ["accepted", "is_oci"]


def accepted(value: object) -> Credentials:
    """
    What `credentials_from` takes, and beside it a bearer token, bare or as pydantic's `SecretStr`,
    and the service key of SAP AI Core.

    Raises `TypeError` for anything else, `ValueError` for a token or a key that cannot be one, and
    `ImportError` where the extra is missing that signing for OCI needs.
    """
    # Not by its type: who has no SecretStr need not have pydantic.
    secret = getattr(value, "get_secret_value", None)
    if callable(secret):
        value = secret()
    if isinstance(value, str):
        return _bearer(value)
    if isinstance(value, Mapping) and "clientid" in value:
        from embedway_upstream.credentials.oauth2 import ClientCredentials
        from embedway_upstream.platforms.aicore import login_from_service_key

        return ClientCredentials(login_from_service_key(value))
    try:
        return credentials_from(value)
    except TypeError as error:
        raise TypeError(f"{error}, a bearer token (str), or a service key of AI Core") from None
    except ModuleNotFoundError as error:
        raise ImportError(
            f'{error.name} is missing; to sign for OCI: pip install "embedway[oci]"',
            name=error.name,
        ) from error


def is_oci(credentials: Credentials) -> bool:
    """Whether they sign for OCI."""
    # Where there is an instance its module was imported; importing it brings cryptography.
    module = sys.modules.get("embedway_upstream.credentials.oci")
    return module is not None and isinstance(credentials, module.OCISignature)


def _bearer(token: str) -> Bearer:
    if not token.strip():
        raise ValueError("credentials is an empty token; give None where none is needed")
    return Bearer(token)
