"""
OCI Data Science model deployments: how they are addressed, and what they say when they refuse.

Sources: the invoke API, https://docs.oracle.com/en-us/iaas/data-science/using/
model-dep-predict-endpoint.htm and model-dep-invoke-throttling.htm; multiple inference endpoints
of oracle-samples/oci-data-science-ai-samples.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from embedway_upstream.error import EmbeddingError
from embedway_upstream.platforms.oci_error import oci_error

__all__ = ["OCI"]

_PREDICT = "/predict"
_STREAM = "/predictWithResponseStream"


def _new_id() -> str:
    # The SDK's form (oci.base_client.build_request_id).
    return uuid.uuid4().hex.upper()


@dataclass(frozen=True, slots=True)
class OCI:
    """
    `url` is `model_deployment_url` as the resource states it; what follows the OCID is ours.

    The engine's path goes nowhere with invoke="predict" (the deployment's environment names it,
    or score.py answers), into the header `route` with "route" (AQUA containers), and behind
    `/predict` with "suffix" (multiple inference endpoints).

    Every call carries an `opc-request-id` of its own, and errors keep the one that came back.
    """

    url: str
    invoke: Literal["predict", "route", "suffix"] = "predict"
    new_id: Callable[[], str] = field(default=_new_id, repr=False, compare=False)
    clock: Callable[[], float] = field(default=time.time, repr=False, compare=False)

    max_bytes: int | None = field(default=10_000_000, init=False, repr=False)
    """"10 MB" in the documentation; more is 413. Chunked bodies, of unknown length, are 411."""
    max_seconds: float | None = field(default=60.0, init=False, repr=False)

    def address(self, path: str, *, stream: bool = False) -> str:
        """The URL to post to."""
        # Consoles and samples show the URL with the operation behind it.
        base = self.url.rstrip("/").removesuffix(_STREAM).removesuffix(_PREDICT).rstrip("/")
        base += _STREAM if stream else _PREDICT
        return base + path if self.invoke == "suffix" else base

    def probe_address(self, path: str) -> str | None:
        """The same URL with invoke="suffix", where the deployment offers the path; else none."""
        return self.address(path) if self.invoke == "suffix" else None

    def headers(self, path: str, *, stream: bool = False) -> Mapping[str, str]:
        """
        The request's id, with invoke="route" the engine's path, and with a stream what AQUA's
        containers want beside it (oracle-ads, ads/aqua/client). None of them is signed.
        """
        headers = {"opc-request-id": self.new_id()}
        if stream:
            headers["enable-streaming"] = "true"
        if self.invoke == "route":
            headers["route"] = path
        return headers

    def error(self, status: int, headers: Mapping[str, str], body: bytes) -> EmbeddingError | None:
        """What the platform says; None when the body is an engine's."""
        return oci_error(status, headers, body, now=self.clock())
