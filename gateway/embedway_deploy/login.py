"""Who calls OCI's interface: a profile's key or session, or what this machine is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from embedway_deploy.error import DeployError

__all__ = ["Auth", "Login", "SignIn"]

Auth: TypeAlias = Literal["api_key", "session", "instance", "resource"]


@dataclass(frozen=True, slots=True)
class SignIn:
    """
    What the clients of the `oci` SDK and of oracle-ads are made with.

    Also how to hand over one's own: `SignIn(signer=ads.common.auth.default_signer()["signer"])`.
    """

    signer: object = field(repr=False)
    config: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """As a configuration of the gateway names it, `principal:` and all."""

    auth: Auth = "api_key"
    config_file: str = "~/.oci/config"
    profile: str = "DEFAULT"

    def open(self) -> SignIn:
        """The signer. Raises `DeployError` that says which file, profile or entry is missing."""
        # Imported here, as everywhere: `import oci` takes 0.3 s and 50 MiB.
        import oci

        try:
            if self.auth == "instance":
                return SignIn(oci.auth.signers.InstancePrincipalsSecurityTokenSigner())
            if self.auth == "resource":
                return SignIn(oci.auth.signers.get_resource_principals_signer())
            return self._profile()
        except DeployError:
            raise
        # The last resort: the SDK raises its own errors, requests' and bare ones here, and their
        # words may hold a key. Only their kind is told.
        except Exception as error:  # noqa: BLE001
            kind = type(error).__name__
            raise DeployError(
                f"{self._who()} cannot be used: {_CURES[self.auth]}", detail=kind
            ) from (None)

    def _profile(self) -> SignIn:
        import oci

        config = oci.config.from_file(self.config_file, self.profile)
        if self.auth == "session":
            from pathlib import Path

            token = Path(str(config["security_token_file"])).expanduser().read_text("utf-8")
            key = oci.signer.load_private_key_from_file(
                config["key_file"], config.get("pass_phrase")
            )
            return SignIn(oci.auth.signers.SecurityTokenSigner(token.strip(), key), config)
        oci.config.validate_config(config)
        signer = oci.signer.Signer(
            tenancy=config["tenancy"],
            user=config["user"],
            fingerprint=config["fingerprint"],
            private_key_file_location=config.get("key_file"),
            pass_phrase=oci.config.get_config_value_or_default(config, "pass_phrase"),
            private_key_content=config.get("key_content"),
        )
        return SignIn(signer, config)

    def _who(self) -> str:
        if self.auth in {"api_key", "session"}:
            return f"profile {self.profile} of {self.config_file}"
        return f"the {self.auth} principal"


_CURES: Mapping[Auth, str] = {
    "api_key": "it needs user, tenancy, fingerprint, key_file and region (`oci setup config`)",
    "session": "open one with `oci session authenticate`",
    "instance": "this machine must be a compute instance of OCI in a dynamic group",
    "resource": "this must run in a resource of OCI, as a notebook session is",
}
