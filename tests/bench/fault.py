"""What callers see of upstreams that fail: one refuses and one hangs, or all are out of order."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import load
from load import Ask, percentile, texts
from peer_gateway import NotStarted, Running, ours, peer, upstream
from turn import CALLERS, OURS, Found, Options

__all__ = ["outage", "replicas"]

ASK = Ask(texts(1), 384)
# What one attempt may take: short enough for a second one.
TIMEOUT = 1.0
REPLICAS = 3
NAMES = (OURS, "litellm")


def replicas(options: Options) -> Found:
    """Three replicas, of which one then refuses connections and one hangs; 16 callers."""
    found = Found()
    for who, _ in options.turns(NAMES):
        with ExitStack() as stack:
            ups = [stack.enter_context(upstream()) for _ in range(REPLICAS)]
            one = _before(stack, found, who, [up.root for up in ups], options)
            if one is None:
                continue
            request = load.repeated(ASK.bytes_to(one.url))
            healthy = load.call(one.url, request, callers=CALLERS, seconds=options.seconds)
            # The first is the one that ours compares the others' vectors with.
            ups[0].process.kill()
            ups[1].process.suspend()
            begun = time.perf_counter()
            answers = load.call(one.url, request, callers=CALLERS, seconds=options.seconds + 1)
        later = [answer for answer in answers if answer.at > begun + 1]
        well, ill = percentile(healthy, 0.99), percentile(later, 0.99)
        found.add(
            who,
            errors=sum(answer.status != 200 for answer in answers),
            rate=len(later) / options.seconds,
            healthy_p99_ms=well,
            p99_ms=ill,
            p99_ratio=ill / well,
            slowest_ms=percentile(answers, 1),
        )
    found.most("errors", 0, found.median(OURS, "errors"))
    found.most("× healthy p99", 2, found.median(OURS, "p99_ratio"))
    return found


def outage(options: Options) -> Found:
    """Three replicas that all answer 503; 16 callers. Attempts that a request makes of them."""
    found = Found()
    for who, _ in options.turns(NAMES):
        with ExitStack() as stack:
            up = stack.enter_context(upstream())
            urls = [f"{up.root}/{letter}" for letter in "abc"]
            one = _before(stack, found, who, urls, options)
            if one is None:
                continue
            request = load.repeated(ASK.bytes_to(one.url))
            load.call(one.url, request, callers=CALLERS, seconds=1)
            up.get("/status/503")
            up.count()
            answers = load.call(one.url, request, callers=CALLERS, seconds=options.seconds)
            calls = up.count()["calls"]
        wrong = sum(answer.status == 200 for answer in answers)
        attempts = calls / max(1, len(answers))
        found.add(who, attempts=attempts, rate=len(answers) / options.seconds, answered=wrong)
    found.most("attempts a request", 1.2, found.median(OURS, "attempts"))
    return found


def _before(
    stack: ExitStack, found: Found, who: str, urls: Sequence[str], options: Options
) -> Running | None:
    """The gateway before those upstreams; None, and named as missing, when it is not there."""
    try:
        return stack.enter_context(_gateway(who, urls, options))
    except NotStarted as error:
        found.miss(who, str(error))
        return None


@contextlib.contextmanager
def _gateway(who: str, urls: Sequence[str], options: Options) -> Iterator[Running]:
    if who == OURS:
        upstreams = [{"url": url, "timeout": f"{TIMEOUT:g}s"} for url in urls]
        with ours(upstreams, dimensions=384) as running:
            yield running
    else:
        with peer(who, urls, environment=options.environment, timeout=TIMEOUT) as running:
            yield running
