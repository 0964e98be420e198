"""The kinds of credentials that a configuration may name, and what they become."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from embedway_upstream import Bearer, Credentials

__all__ = ["BearerConfig", "CredentialConfig", "OAuth2Config", "OCIConfig", "make_credentials"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class BearerConfig(_Strict):
    """A fixed bearer token."""

    type: Literal["bearer"]
    token: SecretStr = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_header(self) -> Self:
        Bearer(self.token.get_secret_value())
        return self


class OCIConfig(_Strict):
    """An OCI principal; requests are signed one by one."""

    type: Literal["oci"]
    principal: Literal[
        "api_key", "session", "instance", "resource", "oke_workload", "delegation", "ads"
    ] = "api_key"
    config_file: str | None = None
    profile: str = "DEFAULT"
    pass_phrase: SecretStr | None = None
    tenancy: str | None = None
    user: str | None = None
    fingerprint: str | None = None
    key_file: str | None = None
    key_content: SecretStr | None = None
    token_file: str | None = None
    federation_endpoint: str | None = None

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.user is not None and not (self.tenancy and self.fingerprint):
            raise ValueError("user needs tenancy, fingerprint, and key_file or key_content")
        if self.principal == "delegation" and self.token_file is None:
            raise ValueError("principal delegation needs token_file")
        return self


class OAuth2Config(_Strict):
    """OAuth2 client credentials, as SAP AI Core wants them."""

    type: Literal["oauth2"]
    token_url: str
    client_id: str = Field(min_length=1)
    client_secret: SecretStr | None = None
    cert: str | None = None
    key: SecretStr | None = None

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
        return ClientCredentials(login)


CredentialConfig = Annotated[BearerConfig | OCIConfig | OAuth2Config, Field(discriminator="type")]


def make_credentials(config: CredentialConfig) -> Credentials:
    """The credentials that a configuration describes; nothing is read or asked yet."""
    if isinstance(config, BearerConfig):
        return Bearer(config.token.get_secret_value())
    if isinstance(config, OAuth2Config):
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
        case "ads":
            return principal.ads()


def _shown(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
