"""Snapshots out of the signers of the `oci` SDK, none of them torn."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import NoReturn, Protocol, TypeVar, runtime_checkable

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from embedway_upstream.credentials.error import CredentialsError
from embedway_upstream.credentials.snapshot import Snapshot, Source
from embedway_upstream.credentials.token import SecurityToken

__all__ = ["Principal", "Signer", "SignerSource"]

T = TypeVar("T")

_TRIES = 3
_PREFIX = "ST$"


@runtime_checkable
class Signer(Protocol):
    """What every signer of the SDK has (`oci.signer.AbstractBaseSigner` and its heirs)."""

    @property
    def api_key(self) -> str: ...
    @property
    def private_key(self) -> object: ...


@dataclass(frozen=True, slots=True)
class SignerSource:
    """
    A signer that exists already, perhaps shared with clients of the SDK.

    The SDK (2.189) writes a new token and its key under locks that its readers do not take, so
    that one signature in twenty was wrong under load. Here they are read under those locks, and
    compared by the token's claim. Its signing methods are not used: most of them neither refresh
    nor look at the expiry.
    """

    signer: Signer = field(repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)

    watch = None

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        """The signer's pair, renewed when it is the one in use, or refused, or about to expire."""
        renew = getattr(self.signer, "refresh_security_token", None)
        if held is None and not force:
            # Renews by itself when fewer than 60 s are left.
            self._call(getattr(self.signer, "get_security_token", None))
        known = None if held is None else held.key_id
        found = self._read()
        for _ in range(_TRIES if renew is not None else 0):
            if found is not None and not self._is_over(found) and found.key_id != known:
                return found
            self._call(renew)
            # Whatever it is now, it is the newest that there is.
            known, found = None, self._read()
        if found is None:
            raise CredentialsError(
                "the OCI signer's token was not issued for its key",
                detail=type(self.signer).__name__,
            )
        if self._is_over(found):
            raise CredentialsError(
                "the OCI signer's security token has expired and it cannot renew it: make a new "
                "signer (for a session: `oci session authenticate`, and principal session)",
                detail=type(self.signer).__name__,
            )
        return found

    def _is_over(self, found: Snapshot) -> bool:
        return found.expires_at is not None and found.expires_at <= self.clock()

    def _call(self, method: Callable[[], object] | None) -> None:
        if method is not None:
            _guarded(method, type(self.signer).__name__)

    def _read(self) -> Snapshot | None:
        """The current pair; None when it does not fit."""
        with _lock(self.signer):
            name, key = _pair(self.signer)
        if not isinstance(key, RSAPrivateKey):
            raise CredentialsError(
                "the OCI signer has no RSA key of its own", detail=type(self.signer).__name__
            )
        obo = getattr(self.signer, "delegation_token", None)
        if not name.startswith(_PREFIX):
            return Snapshot(key_id=name, key=key, on_behalf_of=obo)
        token = SecurityToken.parse(name.removeprefix(_PREFIX))
        if not token.fits(key):
            return None
        return Snapshot(
            key_id=token.key_id,
            key=key,
            expires_at=token.expires_at,
            issued_at=token.issued_at or self.clock(),
            on_behalf_of=obo,
        )

    def __repr__(self) -> str:
        return f"SignerSource({type(self.signer).__name__})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")


@dataclass(slots=True)
class Principal:
    """
    A signer, or a source, that is made when it is first needed: making one may ask the machine's
    metadata. `cure` is what to tell who has no such principal.
    """

    make: Callable[[], Signer | Source] = field(repr=False)
    name: str
    cure: str = field(repr=False)
    clock: Callable[[], float] = field(default=time.time, repr=False)
    _source: Source | None = field(default=None, init=False, repr=False)

    @property
    def watch(self) -> float | None:
        """As the source has it, once there is one."""
        return None if self._source is None else self._source.watch

    def take(self, held: Snapshot | None, *, force: bool) -> Snapshot:
        """As the source does."""
        if self._source is None:
            made = _guarded(self.make, self.name, self.cure)
            self._source = SignerSource(made, self.clock) if isinstance(made, Signer) else made
        return self._source.take(held, force=force)

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled; make them where they are used")


def _lock(signer: Signer) -> AbstractContextManager[object]:
    """What whoever renews this signer holds while it writes."""
    client = getattr(signer, "federation_client", None)
    lock = getattr(client, "_refresh_lock", None) or getattr(signer, "_reset_signers_lock", None)
    return lock if isinstance(lock, AbstractContextManager) else nullcontext()


def _pair(signer: Signer) -> tuple[str, object]:
    client = getattr(signer, "federation_client", None)
    if client is None or not hasattr(client, "security_token"):
        return signer.api_key, signer.private_key
    # Signers over a federation client copy its token only when they sign: read the original.
    key = client.session_key_supplier.get_key_pair()["private"]
    return f"{_PREFIX}{client.security_token.security_token}", key


def _guarded(method: Callable[[], T], name: str, cure: str = "") -> T:
    try:
        return method()
    except CredentialsError:
        raise
    except ImportError as error:
        package = "oracle-ads" if str(error.name).startswith("ads") else "oci"
        raise CredentialsError(
            f"these OCI credentials need a package that is not installed: pip install {package}",
            detail=f"{name}, {error.name}",
        ) from None
    # The last resort: the SDK raises its own, requests', PyJWT's and circuitbreaker's errors as
    # well as bare ones. Their words may hold tokens and addresses: only their kind is told.
    except Exception as error:  # noqa: BLE001
        # The SDK's own errors have it themselves, those of requests in their response.
        answer = getattr(error, "response", None)
        status = getattr(error, "status", getattr(answer, "status_code", None))
        kind = type(error).__name__ + (f" {status}" if isinstance(status, int) else "")
        raise CredentialsError(
            cure or "the OCI signer could not renew its security token",
            detail=f"{name}, {kind}",
        ) from None
