"""A user's API key: of a profile, or given outright."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NoReturn

from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.key import load_key
from embedway_upstream.credentials.place import place_of
from embedway_upstream.credentials.profile import read_file, read_profile
from embedway_upstream.credentials.snapshot import Snapshot

__all__ = ["ApiKey", "ApiKeyProfile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """The fields that a profile has; `key_content` is a PEM text, and goes before `key_file`."""

    tenancy: str
    user: str
    fingerprint: str
    key_file: str | None = field(default=None, repr=False)
    key_content: str | None = field(default=None, repr=False)
    pass_phrase: str | None = field(default=None, repr=False)

    watch = None

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        """The key, parsed; read again when it was refused, for it may have been replaced."""
        if held is not None and not force:
            return held
        key_id = f"{self.tenancy}/{self.user}/{self.fingerprint}"
        if not key_id.isascii() or not key_id.isprintable() or '"' in key_id:
            raise CredentialsError(
                "tenancy, user or fingerprint has characters that it cannot have"
            )
        if self.key_content:
            pem, where = self.key_content.encode(), "key_content"
        elif self.key_file:
            pem = read_file(self.key_file, "the OCI private key")
            where = place_of(self.key_file)
        else:
            raise CredentialsError("the OCI API key needs key_file or key_content")
        return Snapshot(key_id=key_id, key=load_key(pem, self.pass_phrase, where=where))

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyProfile:
    """The API key of a profile in a configuration file; `pass_phrase` replaces the profile's."""

    file: str = field(repr=False)
    profile: str
    pass_phrase: str | None = field(default=None, repr=False)

    watch = None

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        """Like `ApiKey`; the profile is read again as well."""
        if held is not None and not force:
            return held
        entries = read_profile(self.file, self.profile, "fingerprint", "tenancy", "key_file")
        if not entries.get("user"):
            if entries.get("security_token_file"):
                raise CredentialsError(
                    "the OCI profile is one of a session, not of an API key: use principal session",
                    detail=f"{self.profile!r} in {self.file}",
                )
            read_profile(self.file, self.profile, "user")
        whole = ApiKey(
            tenancy=entries["tenancy"],
            user=entries["user"],
            fingerprint=entries["fingerprint"],
            key_file=entries["key_file"],
            pass_phrase=self.pass_phrase or entries.get("pass_phrase"),
        )
        return whole.take(None, force=True)

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")
