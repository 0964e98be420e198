"""What users already have, made into credentials of ours."""

from __future__ import annotations

from collections.abc import Mapping

from embedway_upstream.credentials.bearer import Anonymous
from embedway_upstream.credentials.credentials import Credentials

__all__ = ["credentials_from"]


def credentials_from(value: object) -> Credentials:
    """
    A `Credentials` as it is; a signer of the `oci` SDK, or oracle-ads' `{"signer": …}`, as an
    `OCISignature`; None as `Anonymous`. Raises `TypeError` for anything else.
    """
    if value is None:
        return Anonymous()
    if _is_ours(value):
        return value  # type: ignore[return-value]
    # Imported here: they bring cryptography, which the bare install does not have.
    from embedway_upstream.credentials.oci import OCISignature
    from embedway_upstream.credentials.sdk import Signer, SignerSource

    signer = value.get("signer") if isinstance(value, Mapping) else value
    if isinstance(signer, Signer):
        return OCISignature(SignerSource(signer))
    # Only the type is named: a value that is not understood may well be a secret.
    raise TypeError(
        f"credentials of type {type(value).__name__} are not understood: give credentials of "
        'embedway, a signer of the oci SDK, or the dict {"signer": …} of ads'
    )


def _is_ours(value: object) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("sign", "stale", "due", "refresh"))
