"""
Reads the errors of OCI's invoke API: `{"code": "…", "message": "…"}`.

An engine's body may come through unchanged. It is told apart by its form: OCI's `code` is a text
in capitals and small letters, TEI's and vLLM's a number, OpenAI's stands within `error`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import msgspec

from embedway_upstream.engines.form import UNREADABLE
from embedway_upstream.engines.status import from_status, retry_after
from embedway_upstream.error import (
    BatchTooLarge,
    EmbeddingError,
    InvalidRequest,
    UpstreamFailed,
    UpstreamRefused,
)
from embedway_upstream.platforms.error import AmbiguousFailure, PlatformLimited

__all__ = ["oci_error"]

_CODE = re.compile(r"[A-Z][A-Za-z]{2,63}")
_REQUEST_ID = re.compile(r"[A-Za-z0-9/_.-]{1,200}")
# Beyond five minutes the platform refuses the date; the rest is for the reply's way.
_SKEW_SECONDS = 280.0

_POLICY = (
    "allow group <name> (dynamic-group <name> for a machine or resource) to "
    "{DATA_SCIENCE_MODEL_DEPLOYMENT_PREDICT} in compartment <compartment>"
)


class _Body(msgspec.Struct):
    code: str
    message: str = ""


_decode = msgspec.json.Decoder(_Body).decode


def oci_error(
    status: int, headers: Mapping[str, str], body: bytes, *, now: float
) -> EmbeddingError | None:
    """
    The error that the platform's body stands for, None when it is none of the platform's.

    Its words and ids are not passed on: `detail` has the status, the code and `opc-request-id`.
    `now`, in seconds since the epoch, is compared with the reply's date.
    """
    try:
        said = _decode(body)
    except UNREADABLE:
        return None
    if not _CODE.fullmatch(said.code):
        return None
    error = _error(status, headers, said, now)
    error.detail = f"status {status}, {said.code}"
    request_id = headers.get("opc-request-id", "")
    if _REQUEST_ID.fullmatch(request_id):
        error.detail += f", opc-request-id {request_id}"
    return error


def _error(status: int, headers: Mapping[str, str], said: _Body, now: float) -> EmbeddingError:
    if status == 401:
        return UpstreamRefused(_unsigned(headers, now))
    if status == 429:
        return _limited(said.message, retry_after(headers))
    if status not in _BY_STATUS:
        return from_status(status, headers)
    kind, message = _BY_STATUS[status]
    error = kind(message)
    if isinstance(error, UpstreamFailed):
        error.retry_after = retry_after(headers)
    return error


def _unsigned(headers: Mapping[str, str], now: float) -> str:
    off = _skew(headers, now)
    if off is not None and abs(off) > _SKEW_SECONDS:
        way = "ahead of" if off > 0 else "behind"
        return (
            f"OCI refuses the signature (401): this machine's clock is {abs(off):.0f} seconds "
            f"{way} the platform's, and 300 are allowed; set the clock"
        )
    return (
        "OCI refuses the signature (401). Likely: the security token has expired, the key or its "
        "fingerprint is not the user's, the credentials are of another region or realm than the "
        "deployment, or this machine's clock is off by more than 5 minutes"
    )


def _limited(words: str, wait: float | None) -> EmbeddingError:
    # Both texts are of the documentation's page on throttling; the code is the same for both.
    if "tenancy" in words.casefold():
        return PlatformLimited(
            "OCI's request rate for the whole tenancy is exceeded (150 a second unless raised)",
            scope="tenancy",
            retry_after=wait,
        )
    return PlatformLimited(
        "the bandwidth of the deployment's load balancer is exceeded; it can be given more",
        scope="deployment",
        retry_after=wait,
    )


_BY_STATUS: Mapping[int, tuple[type[EmbeddingError], str]] = {
    400: (InvalidRequest, "OCI refuses the request as invalid"),
    404: (
        UpstreamRefused,
        (
            "OCI does not find the deployment, or does not let these credentials call it (404; the "
            "platform does not say which). To tell them apart, ask as an administrator: `oci "
            "data-science model-deployment get` finds the deployment, ACTIVE, when only the policy "
            f"is missing; add it: {_POLICY}. Else correct the OCID and the region in `url:`"
        ),
    ),
    405: (
        UpstreamRefused,
        (
            "OCI does not take this method at the deployment's address (405): check the upstream's "
            "url, and that invoke: suffix is used only where the deployment offers the path"
        ),
    ),
    409: (
        UpstreamRefused,
        (
            "the deployment does not stream (409): its container answered in one piece; set "
            "MODEL_DEPLOY_ENABLE_STREAMING for it, or do not ask for a stream"
        ),
    ),
    411: (
        UpstreamRefused,
        (
            "OCI wants the length of the request (411): something on the way to it, perhaps a "
            "proxy, sends the body in chunks"
        ),
    ),
    413: (BatchTooLarge, "the request is larger than OCI takes (10 MB)"),
    500: (
        AmbiguousFailure,
        (
            "OCI answers 500: the model took longer than the platform's 60 seconds, or its code "
            "raised; the deployment's log says which"
        ),
    ),
    503: (UpstreamFailed, "OCI says that the model server is not available (503)"),
}


def _skew(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that our clock is ahead of the reply's `date`."""
    try:
        return now - parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        return None
