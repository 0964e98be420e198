"""The kinds of OCI credentials, by the names that a configuration gives them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import urlsplit

from embedway_upstream.credentials.api_key import ApiKey, ApiKeyProfile
from embedway_upstream.credentials.delegated import Delegated
from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.files import SessionProfile, TokenFiles
from embedway_upstream.credentials.oci import OCISignature
from embedway_upstream.credentials.profile import read_file
from embedway_upstream.credentials.sdk import Principal, Signer
from embedway_upstream.loopback import is_loopback

if TYPE_CHECKING:
    from embedway_upstream.credentials.snapshot import Source

__all__ = [
    "PrincipalName",
    "ads",
    "api_key",
    "delegation",
    "instance",
    "oke_workload",
    "resource",
    "session",
    "token_exchange",
]

PrincipalName: TypeAlias = Literal[
    "api_key",
    "session",
    "instance",
    "resource",
    "oke_workload",
    "delegation",
    "token_exchange",
    "ads",
]

_DEFAULT_FILE = "~/.oci/config"
_FALLBACK_FILE = "~/.oraclebmc/config"

_NO_INSTANCE = (
    "this machine has no OCI instance principal: it must be a compute instance of OCI in a dynamic "
    "group; elsewhere use principal api_key or session"
)
_NO_RESOURCE = (
    "there is no OCI resource principal here: the environment of an OCI resource sets "
    "OCI_RESOURCE_PRINCIPAL_VERSION and what goes with it; elsewhere use principal api_key, "
    "session or instance"
)
_NO_WORKLOAD = (
    "there is no OKE workload identity here: it needs a pod of an enhanced OKE cluster with a "
    "service account; elsewhere use principal instance or api_key"
)
_NO_EXCHANGE = (
    "the OCI token exchange failed: check the domain's URL, the client's id and secret, and the "
    "identity propagation trust for the token's issuer"
)
_NO_ADS = "ads.common.auth.default_signer() gave no signer: check ads.set_auth(...) and its profile"


def api_key(
    *,
    config_file: str | None = None,
    profile: str = "DEFAULT",
    pass_phrase: str | None = None,
    tenancy: str | None = None,
    user: str | None = None,
    fingerprint: str | None = None,
    key_file: str | None = None,
    key_content: str | None = None,
) -> OCISignature:
    """A user's API key, of a profile; or of its fields, when `user` is given."""
    if user is None:
        file = config_file or default_config_file()
        return OCISignature(ApiKeyProfile(file=file, profile=profile, pass_phrase=pass_phrase))
    if tenancy is None or fingerprint is None:
        raise ValueError("an API key has tenancy, user, fingerprint, and key_file or key_content")
    return OCISignature(
        ApiKey(
            tenancy=tenancy,
            user=user,
            fingerprint=fingerprint,
            key_file=key_file,
            key_content=key_content,
            pass_phrase=pass_phrase,
        )
    )


def session(
    *, config_file: str | None = None, profile: str = "DEFAULT", pass_phrase: str | None = None
) -> OCISignature:
    """The session that `oci session authenticate` opened for a profile."""
    file = config_file or default_config_file()
    return OCISignature(SessionProfile(file=file, profile=profile, pass_phrase=pass_phrase))


def instance(*, federation_endpoint: str | None = None) -> OCISignature:
    """The compute instance that this runs on."""
    return OCISignature(_instance("instance", federation_endpoint))


def resource(environment: Mapping[str, str] | None = None) -> OCISignature:
    """The OCI resource that this runs in: a job, a notebook, a function, …, of any version."""
    return OCISignature(_resource("resource", os.environ if environment is None else environment))


def oke_workload(
    *, service_account_token_path: str | None = None, service_account_token: str | None = None
) -> OCISignature:
    """The service account of the pod that this runs in."""

    def make() -> Signer:
        from oci.auth.signers import get_oke_workload_identity_resource_principal_signer

        signer: Signer = get_oke_workload_identity_resource_principal_signer(
            service_account_token_path=service_account_token_path,
            service_account_token=service_account_token,
        )
        return signer

    return OCISignature(Principal(make, "oke_workload", _NO_WORKLOAD))


def delegation(
    *,
    token: str | None = None,
    token_file: str | None = None,
    principal: Literal["instance", "resource"] = "instance",
    federation_endpoint: str | None = None,
) -> OCISignature:
    """
    A machine or resource that acts for a user, with that user's delegation token. A `token_file` is
    read again when it changes.
    """
    if (token is None) == (token_file is None):
        raise ValueError("delegation needs either token or token_file")
    if principal == "resource":
        machine = _resource("delegation", os.environ)
    else:
        machine = _instance("delegation", federation_endpoint)
    return OCISignature(Delegated(machine=machine, token=token, token_file=token_file))


def token_exchange(
    *,
    domain_url: str,
    client_id: str,
    client_secret: str,
    token: str | Callable[[], str] | None = None,
    token_file: str | None = None,
) -> OCISignature:
    """
    A token of another identity provider, exchanged for one of OCI's (UPST) at an identity domain.
    A `token_file` is read again for every exchange, as is a `token` that can be called.
    """
    if (token is None) == (token_file is None):
        raise ValueError("token_exchange needs either token or token_file")
    _require_domain(domain_url)

    def read() -> str:
        if token_file is None:
            return token() if callable(token) else token or ""
        return read_file(token_file, "the file with the token to exchange").decode().strip()

    def make() -> Signer:
        from embedway_upstream.credentials.exchange import TokenExchange

        signer: Signer = TokenExchange(read, domain_url, client_id, client_secret)
        return signer

    return OCISignature(Principal(make, "token_exchange", _NO_EXCHANGE))


def ads() -> OCISignature:
    """Whatever oracle-ads is set to (`ads.set_auth`); importing it takes 2.5 s and 275 MiB."""

    def make() -> Signer:
        signer = import_module("ads.common.auth").default_signer()["signer"]
        if not isinstance(signer, Signer):
            raise CredentialsError(_NO_ADS, detail=type(signer).__name__)
        return signer

    return OCISignature(Principal(make, "ads", _NO_ADS))


def default_config_file(environment: Mapping[str, str] | None = None) -> str:
    """Where the SDK looks: `~/.oci/config`, else `OCI_CONFIG_FILE`, else `~/.oraclebmc/config`."""
    if Path(_DEFAULT_FILE).expanduser().is_file():
        return _DEFAULT_FILE
    named = (os.environ if environment is None else environment).get("OCI_CONFIG_FILE")
    if named:
        return named
    return _FALLBACK_FILE if Path(_FALLBACK_FILE).expanduser().is_file() else _DEFAULT_FILE


def _instance(name: str, federation_endpoint: str | None) -> Principal:
    def make() -> Signer:
        from oci.auth.signers import InstancePrincipalsSecurityTokenSigner

        where = {"federation_endpoint": federation_endpoint} if federation_endpoint else {}
        signer: Signer = InstancePrincipalsSecurityTokenSigner(**where)
        return signer

    return Principal(make, name, _NO_INSTANCE)


def _resource(name: str, found: Mapping[str, str]) -> Principal:
    def make() -> Signer | Source:
        if found.get("OCI_RESOURCE_PRINCIPAL_VERSION") == "2.2":
            return _resource_files(found)
        from oci.auth.signers import get_resource_principals_signer

        signer: Signer = get_resource_principals_signer()
        return signer

    return Principal(make, name, _NO_RESOURCE)


def _resource_files(environment: Mapping[str, str]) -> Source:
    """Version 2.2: the token and the key themselves, or the files that hold them."""
    token = environment.get("OCI_RESOURCE_PRINCIPAL_RPST")
    key = environment.get("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM")
    if not token or not key:
        raise CredentialsError(_NO_RESOURCE, detail="version 2.2 without RPST or PRIVATE_PEM")
    phrase = environment.get("OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM_PASSPHRASE") or None
    if phrase is not None and Path(key).is_absolute():
        return TokenFiles(token=token, key=key, pass_phrase_file=phrase)
    return TokenFiles(token=token, key=key, pass_phrase=phrase)


def _require_domain(url: str) -> None:
    """The client's secret goes there, and the SDK takes anything for an address."""
    parts = urlsplit(url)
    loopback = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or parts.username or not (loopback or parts.scheme == "https"):
        raise ValueError("domain_url must begin with https:// and name a host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(
            "domain_url is the identity domain's address alone, without a path, such as "
            "https://idcs-0123.identity.oraclecloud.com"
        )
