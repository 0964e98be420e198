"""
What signing a request costs: ours, the SDK's signer behind httpx as its users do it, and the RSA
operation itself; then whether a thread pool pays.

    python tests/bench/sign.py
"""

from __future__ import annotations

import asyncio
import gc
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.hashes import SHA256
from oci._vendor import requests
from oci.signer import Signer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doubles.oci_identity import FINGERPRINT, TENANCY, USER, pem, private_key
from embedway_client.auth import OCIAuth
from embedway_upstream.credentials.principal import api_key

URL = "https://modeldeployment.us-ashburn-1.oci.customer-oci.com/ocid1.xxx/predict"
BODY = b"x" * 2048
ROUNDS = 2000


class SDKAuth(httpx.Auth):
    """As `ads.aqua.client.HttpxOCIAuth` and llama-index's `OCIAuth` do it."""

    requires_request_body = True

    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def auth_flow(self, request: httpx.Request):  # type: ignore[no-untyped-def]
        prepared = requests.Request(
            request.method, str(request.url), headers=dict(request.headers), data=request.content
        ).prepare()
        self._signer.do_request_sign(prepared)
        request.headers.update(prepared.headers)
        yield request


def medians(ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """
    Medians, in milliseconds of this thread's CPU. The ways take turns, so that a busy machine
    slows all alike.
    """
    taken: dict[str, list[float]] = {name: [] for name in ways}
    gc.disable()
    for _ in range(ROUNDS):
        for name, way in ways.items():
            begun = time.thread_time_ns()
            way()
            taken[name].append((time.thread_time_ns() - begun) / 1e6)
    gc.enable()
    return {name: statistics.median(each) for name, each in taken.items()}


def signing() -> None:
    key = private_key()
    ours = api_key(
        tenancy=TENANCY, user=USER, fingerprint=FINGERPRINT, key_content=pem(key).decode()
    )
    ours.refresh()
    sdk = Signer(TENANCY, USER, FINGERPRINT, None, private_key_content=pem(key))
    headers = {"content-type": "application/json"}
    message = b"x" * 300

    def flow(auth: httpx.Auth) -> Callable[[], object]:
        return lambda: next(auth.sync_auth_flow(httpx.Request("POST", URL, content=BODY)))

    found = medians(
        {
            "RSA-2048 alone": lambda: key.sign(message, padding.PKCS1v15(), SHA256()),
            "ours: credentials.sign": lambda: ours.sign("POST", URL, headers, BODY),
            "httpx request alone": lambda: httpx.Request("POST", URL, content=BODY).read(),
            "ours: OCIAuth of httpx, request included": flow(OCIAuth(ours)),
            "SDK: Signer + httpx adapter, request included": flow(SDKAuth(sdk)),
        }
    )
    raw = found["RSA-2048 alone"]
    for name, milliseconds in found.items():
        print(f"{name:48} {milliseconds:7.4f} ms   {milliseconds / raw:5.2f} × RSA")


async def pools() -> None:
    """Signatures a second on one event loop, signed there or in a pool of threads."""
    ours = api_key(
        tenancy=TENANCY, user=USER, fingerprint=FINGERPRINT, key_content=pem(private_key()).decode()
    )
    ours.refresh()
    loop = asyncio.get_running_loop()
    headers = {"content-type": "application/json"}

    async def direct() -> None:
        ours.sign("POST", URL, headers, BODY)
        await asyncio.sleep(0)

    for threads in (0, 1, 2):
        pool = ThreadPoolExecutor(max(threads, 1))

        async def pooled(pool: ThreadPoolExecutor = pool) -> None:
            await loop.run_in_executor(pool, ours.sign, "POST", URL, headers, BODY)

        rates, cost = [], []
        for _ in range(5):
            begun, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(pooled() if threads else direct() for _ in range(1000)))
            rates.append(1000 / (time.perf_counter() - begun))
            cost.append(time.process_time() - cpu)
        where = f"in {threads} threads" if threads else "on the event loop"
        print(
            f"signed {where:20} {statistics.median(rates):8.0f}/s   "
            f"{statistics.median(cost):6.3f} ms of CPU each"
        )


def main() -> None:
    signing()
    asyncio.run(pools())


if __name__ == "__main__":
    main()
