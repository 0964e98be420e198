"""The kinds of credentials that a configuration may name, and what they become."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from embedway_gateway.config.strict import Strict
from embedway_upstream import Bearer, Credentials
from embedway_upstream.credentials.place import is_secret
from embedway_upstream.proxy import read_proxies

if TYPE_CHECKING:
    from embedway_upstream.credentials.oauth2 import Login

__all__ = [
    "AICoreConfig",
    "BearerConfig",
    "CredentialConfig",
    "OAuth2Config",
    "OCIConfig",
    "make_credentials",
]

_OF_FILE = ("config_file", "profile")
_OF_KEY = ("tenancy", "fingerprint", "key_file", "key_content")
# What each principal reads, beside the rate; `api_key` either the file's or the key's.
_READS = {
    "api_key": ("user", *_OF_KEY, *_OF_FILE, "pass_phrase"),
    "session": (*_OF_FILE, "pass_phrase"),
    "instance": ("federation_endpoint",),
    "resource": (),
    "oke_workload": (),
    "delegation": ("token_file", "federation_endpoint"),
    "token_exchange": ("domain_url", "client_id", "client_secret", "token_file"),
    "ads": (),
}
_READ_BY_ALL = {"type", "principal", "requests_per_second"}


class BearerConfig(Strict):
    """A fixed bearer token."""

    type: Literal["bearer"]
    token: SecretStr = Field(min_length=1)
    """Sent as `Authorization: Bearer …`; write `"${NAME}"`."""

    @model_validator(mode="after")
    def _is_a_header(self) -> Self:
        Bearer(self.token.get_secret_value())
        return self


class OCIConfig(Strict):
    """An OCI principal; requests are signed one by one."""

    type: Literal["oci"]
    principal: Literal[
        "api_key",
        "session",
        "instance",
        "resource",
        "oke_workload",
        "delegation",
        "token_exchange",
        "ads",
    ] = "api_key"
    """Who signs: `session` is of `oci session authenticate`, `ads` what `ads.set_auth` set."""
    config_file: str | None = None
    """Of `api_key` and `session`; none is `~/.oci/config`, else `OCI_CONFIG_FILE`."""
    profile: str = "DEFAULT"
    """In that file."""
    pass_phrase: SecretStr | None = None
    """Of the private key, where the profile does not hold it."""
    tenancy: str | None = None
    """With `user`: the key's fields instead of a profile."""
    user: str | None = None
    """The user's OCID, instead of a profile."""
    fingerprint: str | None = None
    """Of the key, instead of a profile."""
    key_file: str | None = None
    """The private key, PEM."""
    key_content: SecretStr | None = None
    """The same as text; write `"${NAME}"`."""
    token_file: str | None = None
    """
    Of `delegation`: the file that holds the delegation token, read again when it changes; of
    `token_exchange`: the one with the token to exchange.
    """
    federation_endpoint: str | None = None
    """Of `instance` and `delegation`: replaces the region's own."""
    requests_per_second: float = Field(default=150.0, gt=0, allow_inf_nan=False)
    """
    That the upstreams with these credentials make together, models to embed, to rerank and to
    chat alike: OCI counts by tenancy.
    """
    domain_url: str | None = None
    """Of `token_exchange`: the identity domain, `https://idcs-….identity.oraclecloud.com`."""
    client_id: str | None = None
    """Of `token_exchange`: the domain's application that may exchange."""
    client_secret: SecretStr | None = None
    """Of `token_exchange`: the application's secret; write `"${NAME}"`."""

    @field_validator("config_file", "key_file", "token_file")
    @classmethod
    def _is_a_path(cls, path: str | None) -> str | None:
        if path is not None and is_secret(path):
            raise ValueError(
                "a key or a token itself stands where the path of its file belongs: write the "
                "path (the text of a private key goes into key_content)"
            )
        return path

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        self._require_read()
        if self.user is not None and not (self.tenancy and self.fingerprint):
            raise ValueError("user needs tenancy, fingerprint, and key_file or key_content")
        if self.principal == "delegation" and self.token_file is None:
            raise ValueError("principal delegation needs token_file")
        if self.principal == "token_exchange":
            needed = ("domain_url", "client_id", "client_secret", "token_file")
            if missing := [name for name in needed if not _shown(getattr(self, name))]:
                raise ValueError(f"principal token_exchange needs {', '.join(missing)}")
            # It knows which addresses may be given a secret.
            _oci(self)
        return self

    def _require_read(self) -> None:
        """What is stated must be what signs: else another identity does, without a word."""
        fields = type(self).model_fields
        stated = [name for name in fields if getattr(self, name) != fields[name].default]
        reads = _READS[self.principal]
        if foreign := [name for name in stated if name not in {*_READ_BY_ALL, *reads}]:
            raise ValueError(
                f"principal {self.principal} does not read {', '.join(foreign)}: leave that out, "
                "or state the principal that it is of"
            )
        if self.principal != "api_key":
            return
        if self.user is None and (key := [name for name in stated if name in _OF_KEY]):
            raise ValueError(
                f"{', '.join(key)} without user: the key of a profile would sign instead; add "
                "user, or leave that out"
            )
        if self.user is not None and (file := [name for name in stated if name in _OF_FILE]):
            raise ValueError(
                f"user beside {', '.join(file)}: give either the key's fields or a profile"
            )


class OAuth2Config(Strict):
    """OAuth2 client credentials, as SAP AI Core wants them."""

    type: Literal["oauth2"]
    token_url: str
    """`…/oauth/token` of the service key's `url`, or of its `certurl`."""
    client_id: str = Field(min_length=1)
    """`clientid` of the service key."""
    client_secret: SecretStr | None = None
    """Write `"${NAME}"`."""
    cert: str | None = None
    """Instead of a secret: the client certificate, a PEM file or its text."""
    key: SecretStr | None = None
    """The certificate's private key."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        self.make()
        return self

    def make(self) -> Credentials:
        """The credentials; raises `ValueError` when the fields do not belong together."""
        # Imported here: httpx costs 0.1 s, and only this kind needs it.
        from embedway_upstream.credentials.oauth2 import ClientCredentials, Login

        login = Login(
            token_url=self.token_url,
            client_id=self.client_id,
            client_secret=_shown(self.client_secret),
            cert=self.cert,
            key=_shown(self.key),
        )
        return ClientCredentials(login, proxy_of=read_proxies().of)


_TEXT_OR_OBJECT = {"anyOf": [{"type": "string"}, {"type": "object"}, {"type": "null"}]}


def _as_text(value: object) -> object:
    """A service key that was pasted into the YAML is read by it, for JSON is YAML."""
    return json.dumps(value, default=str) if isinstance(value, dict) else value


class AICoreConfig(Strict):
    """The login of a service key of SAP AI Core; with nothing stated, where SAP's SDK looks."""

    type: Literal["aicore"]
    service_key: Annotated[
        SecretStr | None, BeforeValidator(_as_text), WithJsonSchema(_TEXT_OR_OBJECT)
    ] = None
    """The service key's JSON; write `"${AICORE_SERVICE_KEY}"`."""
    service_key_file: str | None = None
    """A file that holds it, read again for every token, so that it may be replaced."""

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.service_key is not None and self.service_key_file is not None:
            raise ValueError("give either service_key or service_key_file")
        self.login()
        return self

    def login(self) -> Login:
        """Read anew with each call; raises `ValueError`, which says what is missing and where."""
        # Imported here: it brings httpx.
        from embedway_upstream.platforms import aicore_login

        if self.service_key is not None:
            text = self.service_key.get_secret_value()
            return aicore_login.login_from_service_key(text, name="service_key")
        if self.service_key_file is not None:
            return aicore_login.login_from_file(self.service_key_file)
        return aicore_login.find_login(os.environ)

    def make(self) -> Credentials:
        """The credentials; raises what `login` does."""
        from embedway_upstream.credentials.oauth2 import ClientCredentials

        return ClientCredentials(self.login(), again=self.login, proxy_of=read_proxies().of)


CredentialConfig = Annotated[
    BearerConfig | OCIConfig | OAuth2Config | AICoreConfig, Field(discriminator="type")
]


def make_credentials(config: CredentialConfig) -> Credentials:
    """The credentials that a configuration describes; nothing is asked yet."""
    if isinstance(config, BearerConfig):
        return Bearer(config.token.get_secret_value())
    if isinstance(config, OAuth2Config | AICoreConfig):
        return config.make()
    return _oci(config)


def _oci(config: OCIConfig) -> Credentials:
    # Imported here: it brings cryptography, which only OCI's signatures need.
    from embedway_upstream.credentials import principal

    phrase = _shown(config.pass_phrase)
    match config.principal:
        case "api_key":
            return principal.api_key(
                config_file=config.config_file,
                profile=config.profile,
                pass_phrase=phrase,
                tenancy=config.tenancy,
                user=config.user,
                fingerprint=config.fingerprint,
                key_file=config.key_file,
                key_content=_shown(config.key_content),
            )
        case "session":
            return principal.session(
                config_file=config.config_file, profile=config.profile, pass_phrase=phrase
            )
        case "instance":
            return principal.instance(federation_endpoint=config.federation_endpoint)
        case "resource":
            return principal.resource()
        case "oke_workload":
            return principal.oke_workload()
        case "delegation":
            return principal.delegation(
                token_file=config.token_file, federation_endpoint=config.federation_endpoint
            )
        case "token_exchange":
            return principal.token_exchange(
                domain_url=config.domain_url or "",
                client_id=config.client_id or "",
                client_secret=_shown(config.client_secret) or "",
                token_file=config.token_file,
            )
        case "ads":
            return principal.ads()


def _shown(secret: SecretStr | str | None) -> str | None:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret
