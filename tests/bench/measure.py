"""What is measured of the gateways: how fast they are, and what they spare the upstream."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import load
from load import Ask, percentile, texts
from peer_gateway import GATEWAY_CORE, NotStarted, Running, ours, upstream
from turn import CALLERS, OURS, Found, Options, side_by_side, take_turns

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doubles.oci_identity import FINGERPRINT, TENANCY, USER, pem, private_key

__all__ = [
    "batch",
    "cache",
    "coalesce",
    "floats",
    "identical",
    "keyed",
    "latency",
    "memory",
    "signed",
    "single",
    "start",
    "wide",
]

ONE = Ask(texts(1), 384)
# 27 vectors of 1,024 numbers in base64 are 150 KB.
LARGE = Ask(texts(27), 1024, "base64")
SLOW = 10.0
SIGN = """
import sys, time
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
key = load_pem_private_key(sys.stdin.buffer.read(), None)
begun, cpu, count = time.perf_counter(), time.process_time(), 0
while time.perf_counter() - begun < float(sys.argv[1]):
    key.sign(b"x" * 300, PKCS1v15(), SHA256())
    count += 1
print(count / (time.perf_counter() - begun), (time.process_time() - cpu) / count * 1e6)
"""


def single(options: Options) -> Found:
    """1×384, floats, 16 at once."""
    found = Found()
    with upstream() as up, side_by_side(found, options, up.root, dimensions=384) as gateways:
        take_turns(found, gateways, ONE, options)
    found.least("requests/s", 8000, found.median(OURS, "rate"))
    found.least("× LiteLLM", 60, found.ratio(OURS, "litellm", "rate"))
    found.least("× sglang_router", 0.4, found.ratio(OURS, "sglang", "rate"))
    found.most("p99, ms", 5, found.median(OURS, "p99_ms"))
    return found


def keyed(options: Options) -> Found:
    """1×384, floats, 16 at once, with a key that has limits, beside none."""
    found = Found()
    with tempfile.TemporaryDirectory() as folder, upstream() as up:
        file = Path(folder) / "keys.yaml"
        limits = [f"--{name}=1000000000" for name in ("rpm", "tpm", "texts-per-minute")]
        command = [sys.executable, "-m", "embedway_gateway", "keys", "create", "--name", "bench"]
        command += ["--max-concurrency=1000", *limits, "--file", str(file)]
        key = subprocess.check_output(command, text=True).strip()
        more = {"server": {"keys": str(file)}}
        with (
            ours([{}], up.root, dimensions=384) as without,
            ours([{}], up.root, dimensions=384, more=more) as running,
        ):
            gateways = {OURS: running, "embedway, no keys": without}
            take_turns(found, gateways, replace(ONE, key=key), options)
    return found


def latency(options: Options) -> Found:
    """1×384, floats, one at a time, beside calling the upstream directly."""
    found = Found()
    with upstream() as up, side_by_side(found, options, up.root, dimensions=384) as gateways:
        take_turns(found, {"direct": up, **gateways}, ONE, options, connections=1)
    found.most("added p50, ms", 0.25, _added(found, OURS, "direct"))
    return found


def wide(options: Options) -> Found:
    """1×1024, floats, 16 at once."""
    found, ask = Found(), Ask(texts(1), 1024)
    with (
        upstream("--dimensions", "1024") as up,
        side_by_side(found, options, up.root, dimensions=1024) as gateways,
    ):
        take_turns(found, gateways, ask, options)
    return found


def batch(options: Options) -> Found:
    """32×1024, base64 from end to end, 16 at once."""
    found, ask = Found(), Ask(texts(32), 1024, "base64")
    with (
        upstream("--dimensions", "1024") as up,
        side_by_side(found, options, up.root, dimensions=1024) as gateways,
    ):
        take_turns(found, gateways, ask, options)
    found.least("× nginx", 0.6, found.ratio(OURS, "nginx", "rate"))
    return found


def floats(options: Options) -> Found:
    """32×1024, floats from an upstream that speaks nothing else, 16 at once."""
    found, ask = Found(), Ask(texts(32), 1024)
    # LiteLLM takes a quarter of a second for one: 16 of them are 4 s.
    options = replace(options, seconds=max(options.seconds, SLOW))
    with (
        upstream("--dimensions", "1024", "--floats") as up,
        side_by_side(found, options, up.root, dimensions=1024) as gateways,
    ):
        take_turns(found, gateways, ask, options)
    found.least("× LiteLLM", 80, found.ratio(OURS, "litellm", "rate"))
    return found


def signed(options: Options) -> Found:
    """1×384, each call signed with RSA-2048 for OCI, 16 at once, beside signing on that core."""
    found, key = Found(), pem(private_key())
    prod = {
        "type": "oci",
        "tenancy": TENANCY,
        "user": USER,
        "fingerprint": FINGERPRINT,
        "key_content": key.decode(),
        # OCI's own limit would be the slowest part.
        "requests_per_second": 1e6,
    }
    command = ["taskset", "-c", GATEWAY_CORE, sys.executable, "-c", SIGN, str(options.seconds)]
    upstreams = [{"platform": "oci", "credentials": "prod"}]
    more = {"credentials": {"prod": prod}}
    with upstream() as up, ours(upstreams, up.root, dimensions=384, more=more) as mine:
        for _ in range(options.rounds):
            rate, cpu = subprocess.check_output(command, input=key).split()
            found.add("RSA-2048", rate=float(rate), cpu_us=float(cpu))
            take_turns(found, {OURS: mine}, ONE, replace(options, rounds=1))
    # Of processor time: the two do not share the machine with the same others.
    found.least("of the RSA floor, by CPU", 0.8, found.ratio("RSA-2048", OURS, "cpu_us"))
    return found


def coalesce(options: Options) -> Found:
    """64 callers of single texts, and an upstream that takes 5 ms a call, one by one."""
    found = Found()
    with (
        upstream("--serial", "0.005") as up,
        ours([{"max_inputs": 32}], up.root, dimensions=384) as mine,
    ):
        ways = {"direct": up, OURS: mine}
        for one in ways.values():
            load.call(one.url, load.distinct(one.url, 384), callers=64, seconds=1)
        for _ in range(options.rounds):
            for who, one in ways.items():
                _called(found, who, one, callers=64, seconds=options.seconds)
                _called(found, f"{who}, alone", one, callers=1, seconds=options.seconds)
    found.least("× direct, requests/s", 20, found.ratio(OURS, "direct", "rate"))
    found.most("× direct, p50", 0.1, found.ratio(OURS, "direct", "p50_ms"))
    found.most("added p50 alone, ms", 0.5, _added(found, f"{OURS}, alone", "direct, alone"))
    return found


def _called(found: Found, who: str, one: Running, *, callers: int, seconds: float) -> None:
    requests = load.distinct(one.url, 384)
    answers = load.call(one.url, requests, callers=callers, seconds=seconds)
    # What was asked in time and answered later is of another second: with 64 callers and a serial
    # upstream that would be a tenth more than it can do.
    end = min(answer.at for answer in answers) + seconds
    found.add(
        who,
        rate=sum(one.status == 200 and one.at + one.seconds <= end for one in answers) / seconds,
        p50_ms=percentile(answers, 0.5),
        p99_ms=percentile(answers, 0.99),
        errors=load.errors(answers),
    )


def _added(found: Found, one: str, other: str) -> float | None:
    mine, theirs = found.median(one, "p50_ms"), found.median(other, "p50_ms")
    return None if mine is None or theirs is None else mine - theirs


def identical(options: Options) -> Found:
    """24 identical requests at once, and an upstream that takes 50 ms: texts that reach it."""
    found, names = Found(), ("litellm", "sglang")
    with (
        upstream("--delay", "0.05") as up,
        side_by_side(found, options, up.root, dimensions=384, peers=names) as gateways,
    ):
        for number in range(options.rounds):
            for who, one in gateways.items():
                request = Ask((f"once more {number}",), 384).bytes_to(one.url)
                up.count()
                answers = load.call(one.url, load.repeated(request, 24), callers=24)
                found.add(who, texts=up.count()["texts"], errors=load.errors(answers))
    found.most("texts", 1, found.median(OURS, "texts"))
    return found


def cache(options: Options) -> Found:
    """A text that is in the cache, one request at a time."""
    found = Found()
    more = {"cache": {"type": "memory", "max_bytes": "64MiB"}}
    try:
        with upstream() as up, ours([{}], up.root, dimensions=384, more=more) as mine:
            load.sample(mine.url, ONE)
            told, end = None, time.monotonic() + 5
            # It is used once the model's canaries are known.
            while told != "hit" and time.monotonic() < end:
                told = load.sample(mine.url, ONE).headers.get("x-embedway-cache")
            if told != "hit":
                found.miss("cache", f"x-embedway-cache says {told}, not hit")
                return found
            take_turns(found, {OURS: mine}, ONE, options, connections=1)
    except NotStarted as error:
        found.miss("cache", f"this gateway does not take the key: {error}")
    found.most("p50 of a hit, ms", 0.4, found.median(OURS, "p50_ms"))
    return found


def memory(options: Options) -> Found:
    """1,500 replies of 150 KB, 16 at once: the most memory that the worker had."""
    found = Found()
    with upstream("--dimensions", "1024") as up:
        for _ in range(options.rounds):
            with ours([{}], up.root, dimensions=1024) as mine:
                size = load.sample(mine.url, LARGE).size
                requests = load.repeated(LARGE.bytes_to(mine.url), 1500)
                answers = load.call(mine.url, requests, callers=CALLERS)
                found.add(
                    OURS, peak_mb=mine.peak(), reply_kb=size / 1e3, errors=load.errors(answers)
                )
    found.most("MB", 150, found.median(OURS, "peak_mb"))
    return found


def start(options: Options) -> Found:
    """From the command until it says that it is ready, and what it weighs then."""
    found = Found()
    with upstream() as up:
        for _ in range(options.rounds):
            with side_by_side(found, options, up.root, dimensions=384) as gateways:
                for who, one in gateways.items():
                    found.add(who, seconds=one.start, peak_mb=one.peak())
    found.most("s", 1, found.median(OURS, "seconds"))
    return found
