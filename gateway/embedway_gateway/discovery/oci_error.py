"""What a refusal of OCI's control plane most likely means, and what to do about it."""

from __future__ import annotations

import time
from collections.abc import Mapping

from embedway_gateway.discovery.field import parse, table, text
from embedway_upstream import EmbeddingError, RateLimited, UpstreamFailed, UpstreamRefused
from embedway_upstream.engines.status import from_status, retry_after
from embedway_upstream.platforms.oci_error import oci_error

__all__ = ["explain"]

_CURES = {
    401: "OCI does not accept the signature: the key or session is not the user's (any more)",
    403: "OCI forbids it; the policy must allow: read data-science-family in the compartment",
    404: "OCI knows no such compartment or resource, or a policy is missing: allow group … to "
    "read data-science-family in compartment …",
}


def explain(status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError:
    """From the status; OCI's code and request id go to the log."""
    code = text(table(parse(body)).get("code"))[:64]
    request = headers.get("opc-request-id", "")[:128]
    detail = ", ".join(part for part in (f"status {status}", code, request) if part)
    detail = detail if detail.isprintable() else f"status {status}"
    wait = retry_after(headers)
    if status == 401 and (refused := oci_error(status, headers, body, now=time.time())):
        return refused  # It looks at the clocks too.
    if status == 429:
        return RateLimited("OCI asks to slow down", retry_after=wait, detail=detail)
    if status in _CURES:
        return UpstreamRefused(_CURES[status], detail=detail)
    if status >= 500:
        return UpstreamFailed("OCI's interface failed", retry_after=wait, detail=detail)
    return from_status(status, headers)
