"""
Whether callers notice that credentials rotate: 16 of them, while the files of a session, those of a
resource principal (2.2) and the tokens of an OAuth2 login are replaced every second. Beside them,
in the same run and on the same files, the SDK's own signers in four threads.

    python tests/bench/rotate.py [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from oci._vendor import requests
from oci.auth.signers import EphemeralResourcePrincipalSigner, SecurityTokenSigner

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doubles.aicore_rotation import RotatingAICore
from doubles.oci_identity import FINGERPRINT, TENANCY, Identity, Rotation, write_profile
from doubles.oci_platform import OCIPlatform, Refusal
from doubles.openai_upstream import OpenAIUpstream
from doubles.serving import served
from embedway_gateway.wire import WireTransport
from embedway_upstream import (
    Credentials,
    EmbeddingError,
    EmbeddingRequest,
    Endpoint,
    OpenAI,
    Platform,
    Upstream,
)
from embedway_upstream.credentials import principal
from embedway_upstream.credentials.key import load_key
from embedway_upstream.credentials.oauth2 import ClientCredentials, Login
from embedway_upstream.credentials.token import SecurityToken
from embedway_upstream.platforms.aicore import AICore
from embedway_upstream.platforms.oci import OCI

CALLERS = 16
THREADS = 4
LIFE = 3.0
EVERY = 1.0
HOST = "https://h.test/predict"


class World:
    """The files that rotate, and the stand-ins that verify what is made with them."""

    def __init__(self, folder: Path) -> None:
        self.identity = Identity()
        self.files = {}
        self.platforms = {}
        for name in ("session", "resource"):
            (folder / name).mkdir()
            self.files[name] = Rotation(folder / name, self.identity, life=LIFE)
            self.files[name].turn()
            self.platforms[name] = OCIPlatform(OpenAIUpstream(), identity=self.identity)
        self.aicore = RotatingAICore(expires_in=EVERY)
        self.profile = write_profile(
            folder,
            fingerprint=FINGERPRINT,
            tenancy=TENANCY,
            key_file=str(self.files["session"].key_file),
            security_token_file=str(self.files["session"].token_file),
        )

    def credentials(self, url: str) -> dict[str, Credentials]:
        pair = self.files["resource"]
        environment = {
            "OCI_RESOURCE_PRINCIPAL_VERSION": "2.2",
            "OCI_RESOURCE_PRINCIPAL_RPST": str(pair.token_file),
            "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM": str(pair.key_file),
        }
        login = Login(
            token_url=f"{url}/oauth/token", client_id="client", client_secret="planted-secret"
        )
        return {
            "session": principal.session(config_file=str(self.profile)),
            "resource": principal.resource(environment),
            "oauth": ClientCredentials(login),
        }

    def verdicts(self, name: str) -> Counter[str]:
        return self.aicore.verdicts if name == "oauth" else self.platforms[name].verdicts


@contextmanager
def rotating(files: Rotation) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(EVERY):
            files.turn()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


async def ours(world: World, urls: dict[str, str], end: float) -> dict[str, Counter[str]]:
    """What each kind's callers saw: "answers", or an error's words."""
    transport = WireTransport()
    seen: dict[str, Counter[str]] = {}
    upstreams = {}
    for name, credentials in world.credentials(urls["oauth"]).items():
        place = f"{urls['oauth']}/v2/inference/deployments/d1"
        platform: Platform = AICore(place) if name == "oauth" else OCI(urls[name], "suffix")
        endpoint = Endpoint(
            name=name,
            engine=OpenAI(),
            platform=platform,
            credentials=credentials,
            dimensions=8,
        )
        upstreams[name] = Upstream(endpoint, transport)
        seen[name] = Counter()

    async def caller(number: int) -> None:
        names = list(upstreams)
        turn = number
        while time.monotonic() < end:
            name = names[turn % len(names)]
            turn += 1
            try:
                await upstreams[name].send(EmbeddingRequest("m", ("a",)))
                seen[name]["answers"] += 1
            except EmbeddingError as error:
                seen[name][str(error)] += 1
            await asyncio.sleep(0.01)

    await asyncio.gather(*(caller(number) for number in range(CALLERS)))
    await transport.close()
    return seen


def sdks(name: str, token_file: str, key_file: str, seconds: float) -> Counter[str]:
    """
    One shared signer of the SDK, as clients use it: asked for its token before each signature,
    which renews it when it is about to expire. A session's has no way to be renewed. Run in a
    process of its own, where it takes no turns from ours.
    """
    signer: EphemeralResourcePrincipalSigner | SecurityTokenSigner
    if name == "resource":
        signer = EphemeralResourcePrincipalSigner(token_file, key_file)
    else:
        while True:
            token = Path(token_file).read_text()
            key = load_key(Path(key_file).read_bytes(), None, where="")
            # Read between the two files' replacements they do not fit: no fault of the signer.
            if SecurityToken.parse(token).fits(key):
                break
        signer = SecurityTokenSigner(token, key)
    found: Counter[str] = Counter()
    end = time.monotonic() + seconds
    platform = OCIPlatform(None)

    def sign() -> None:
        while time.monotonic() < end:
            getattr(signer, "get_security_token", lambda: None)()
            request = requests.Request("POST", HOST, data=b"{}").prepare()
            request.headers["content-type"] = "application/json"
            signer.do_request_sign(request)
            headers = {key.lower(): str(value) for key, value in request.headers.items()}
            # Who issued it is in another process; its claim says for which key it was.
            token = headers["authorization"].split('"ST$')[1].split('"')[0]
            modulus = SecurityToken.parse(token).modulus
            platform.identity.issued[token] = RSAPublicNumbers(65537, modulus).public_key()
            try:
                platform.verify("POST", "/predict", headers, b"{}")
                found["ok"] += 1
            except Refusal as refusal:
                found[str(refusal)] += 1
            time.sleep(0.02)

    threads = [threading.Thread(target=sign) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def measure(seconds: float) -> None:
    with ExitStack() as stack:
        world = World(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        urls = {name: stack.enter_context(served(app)) for name, app in world.platforms.items()}
        urls["oauth"] = stack.enter_context(served(world.aicore))
        world.aicore.add(1, urls["oauth"], name="c", model="m")
        for files in world.files.values():
            stack.enter_context(rotating(files))
        pool = stack.enter_context(ProcessPoolExecutor(2, mp_context=get_context("spawn")))
        peers = {
            name: pool.submit(sdks, name, str(files.token_file), str(files.key_file), seconds)
            for name, files in world.files.items()
        }
        seen = asyncio.run(ours(world, urls, time.monotonic() + seconds))
        print(f"{seconds:.0f} s, {CALLERS} callers")
        for name, counted in seen.items():
            turns = world.aicore.generation if name == "oauth" else world.files[name].turns
            errors = sum(counted.values()) - counted["answers"]
            print(f"ours, {name:9} {turns:3} rotations: {dict(world.verdicts(name))}, ", end="")
            print(f"{counted['answers']} answers, {errors} client errors")
            for words in sorted(set(counted) - {"answers"}):
                print(f"    {words}")
        for name, peer in peers.items():
            found = peer.result()
            share = 1 - found["ok"] / max(1, sum(found.values()))
            print(f"SDK,  {name:9} {dict(found)}: {share:.1%} refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    measure(parser.parse_args().seconds)


if __name__ == "__main__":
    main()
