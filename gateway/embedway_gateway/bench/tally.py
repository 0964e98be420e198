"""What was measured at one endpoint, and what it comes to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Result", "Tally"]


@dataclass(slots=True)
class Tally:
    """Grows while an endpoint is measured; seconds throughout."""

    label: str
    model: str
    is_local: bool
    latencies: list[float] = field(default_factory=list)
    """Of the requests that were answered rightly."""
    errors: Counter[str] = field(default_factory=Counter)
    texts: int = 0
    tokens: int = 0
    estimated: bool = False
    waited: int = 0
    """Requests that were due while all slots were taken."""
    late: list[float] = field(default_factory=list)
    """How long after they were due the others were sent: this program's own delay."""
    active: float = 0.0
    """While it was being measured."""
    processor: float = 0.0
    """Of this process, meanwhile."""

    @property
    def sent(self) -> int:
        """Requests that came to an end."""
        return len(self.latencies) + self.errors.total()


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """Milliseconds and rates a second; None where nothing tells."""

    label: str
    model: str
    requests: int
    succeeded: int
    success_rate: float
    errors: dict[str, int]
    seconds: float
    requests_per_second: float
    texts_per_second: float
    tokens: int
    tokens_per_second: float | None
    tokens_estimated: bool
    mean_length: float | None
    """Tokens a text."""
    mean_ms: float | None
    median_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    waited: int
    late_ms: float | None
    own_ms_per_request: float | None
    """Processor time of the load generator; None where the model runs in it."""
    own_share: float | None
    """Of one core."""

    @classmethod
    def of(cls, tally: Tally) -> Result:
        """What a tally comes to, at whatever moment."""
        succeeded, sent = len(tally.latencies), tally.sent
        seconds = tally.active or float("nan")
        remote = not tally.is_local and sent and tally.active
        points: list[float | None] = [None] * 5
        if succeeded:
            found = np.asarray(tally.latencies) * 1000
            points = [float(found.mean()), *map(float, np.percentile(found, (50, 95, 99, 100)))]

        def rate(count: int) -> float:
            return count / seconds if tally.active else 0.0

        return cls(
            label=tally.label,
            model=tally.model,
            requests=sent,
            succeeded=succeeded,
            success_rate=succeeded / sent if sent else 0.0,
            errors=dict(tally.errors.most_common()),
            seconds=tally.active,
            requests_per_second=rate(succeeded),
            texts_per_second=rate(tally.texts),
            tokens=tally.tokens,
            tokens_per_second=rate(tally.tokens) if tally.tokens else None,
            tokens_estimated=tally.estimated,
            mean_length=tally.tokens / tally.texts if tally.tokens else None,
            mean_ms=points[0],
            median_ms=points[1],
            p95_ms=points[2],
            p99_ms=points[3],
            max_ms=points[4],
            waited=tally.waited,
            late_ms=float(np.mean(tally.late)) * 1000 if tally.late else None,
            own_ms_per_request=tally.processor / sent * 1000 if remote else None,
            own_share=tally.processor / tally.active if remote else None,
        )

    def doubts(self, *, is_open: bool) -> list[str]:
        """Where the numbers say more of this program than of the endpoint."""
        said = []
        if self.own_share is not None and self.own_share > 0.85:
            said.append(
                f"{self.label}: the load generator itself is the bottleneck, it used "
                f"{self.own_share:.0%} of a core: the endpoint may be faster; send larger batches, "
                "or run several of these at once"
            )
        if is_open and self.waited:
            said.append(
                f"{self.label}: {self.waited} of {self.requests} requests were due while all "
                "--concurrency slots were taken, and waited here; that is in their latency. The "
                "endpoint does not keep up with --rate, or --concurrency is too low for it"
            )
        if is_open and self.late_ms and self.median_ms and self.late_ms > 0.1 * self.median_ms:
            said.append(
                f"{self.label}: requests were sent {self.late_ms:.2f} ms late on average, which is "
                "this machine's delay and in their latency"
            )
        return said
