"""What a client of TEI's native routes reads from an answer."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np


def vectors_of(response: httpx.Response) -> Any:
    """The vectors, float32 (n, d)."""
    assert 200 == response.status_code, response.text
    return np.array(response.json(), np.float32)


def refused(response: httpx.Response, status: int, error_type: str) -> str:
    """The message of an error in TEI's form, and in no other."""
    body = response.json()
    assert (status, error_type) == (response.status_code, body["error_type"]), response.text
    assert {"error", "error_type"} == set(body)
    assert "x-request-id" in response.headers
    message: str = body["error"]
    return message
