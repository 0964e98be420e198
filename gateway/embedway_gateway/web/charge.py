"""What one request costs: held against the limits before, and put down after."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from prometheus_client import Counter
from starlette.types import Scope

from embedway_gateway.access.caller import Caller
from embedway_gateway.metric import Metrics
from embedway_gateway.model import Model
from embedway_gateway.quota.meter import Meter, Seats, counted
from embedway_gateway.quota.quota import Demand, Quota, QuotaDown, Verdict
from embedway_gateway.usage.tally import Tally
from embedway_gateway.web.error import HTTPError
from embedway_gateway.web.rate import rate_headers, too_many
from embedway_upstream import EmbeddingError

__all__ = ["Charge", "Till"]


@dataclass(frozen=True, slots=True)
class Till:
    """Where it is charged: the limits, the usage where it is kept, and the metrics."""

    quota: Quota
    metrics: Metrics
    tally: Tally | None = None
    _counted: dict[str, tuple[Counter, Counter, Counter]] = field(default_factory=dict, repr=False)

    def counters(self, label: str) -> tuple[Counter, Counter, Counter]:
        """Requests that went well, texts and tokens of a caller; looked up once."""
        found = self._counted.get(label)
        if found is None:
            metrics = self.metrics
            found = self._counted[label] = (
                metrics.key_requests.labels(label, "ok"),
                metrics.key_texts.labels(label),
                metrics.key_tokens.labels(label),
            )
        return found


class Charge:
    """
    Entered while a request is worked on; raises `HTTPError` 429 when it is over a limit. What an
    upstream could not do costs a request, but neither texts nor tokens. What a caller gave up
    costs what was thought.
    """

    def __init__(
        self, till: Till, scope: Scope, caller: Caller, model: Model, *, texts: int, tokens: int
    ) -> None:
        self._till = till
        self._scope = scope
        self._caller = caller
        self._model = model
        self._texts = texts
        self.estimate = tokens
        """Tokens, as was guessed before."""
        self._tokens: int | None = None
        self._cached = 0
        self._failed = False
        self._demand: Demand | None = None
        self._verdict: Verdict | None = None

    def spent(self, tokens: int | None, *, cached: int = 0, failed: bool = False) -> None:
        """
        What it cost, now that it is known, if it is; `cached` of its texts were known before.
        `failed` is an answer that broke off.
        """
        self._tokens = tokens
        self._cached = cached
        self._failed = failed

    async def __aenter__(self) -> Self:
        meters, seats = self._counted_by()
        if not meters and not seats:
            return self
        demand = Demand(meters, tuple(map(self._amount, meters)), seats)
        self._demand = demand
        try:
            verdict = await self._till.quota.admit(demand)
        except QuotaDown:
            raise HTTPError(
                503,
                "The limits cannot be checked now.",
                kind="server_error",
                code="limits_unavailable",
                retry=True,
                retry_after=1.0,
            ) from None
        self._scope["embedway.headers"] = rate_headers(demand, verdict)
        if verdict.blocker is not None:
            self._refused()
            raise too_many(demand, verdict)
        self._verdict = verdict
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        failed = self._failed or error is not None
        texts = self._texts
        if self._tokens is None and isinstance(error, EmbeddingError):
            texts, tokens = 0, 0
        else:
            tokens = self.estimate if self._tokens is None else self._tokens
        self._settle(texts, tokens)
        self._count(texts, tokens, failed=failed)

    def _counted_by(self) -> tuple[tuple[Meter, ...], tuple[Seats, ...]]:
        caller, model = self._caller, self._model
        common = model.config.limits
        if not common.model_fields_set:
            return caller.meters, caller.seats
        meters, seats = counted(f"model:{model.name}", common.allowance)
        return caller.meters + meters, caller.seats + seats

    def _amount(self, one: Meter) -> int:
        if one.kind == "tokens":
            # A guess may be twice of what is true, and must not rule out what fits.
            guess = self.estimate
            return min(guess, one.limit) if guess <= 2 * one.limit else guess
        return 1 if one.kind == "requests" else self._texts

    def _settle(self, texts: int, tokens: int) -> None:
        if self._demand is None or self._verdict is None:
            return
        demand = self._demand
        spent = {"requests": 1, "texts": texts, "tokens": tokens}
        changes = [
            spent[one.kind] - amount
            for one, amount in zip(demand.meters, demand.amounts, strict=True)
        ]
        self._till.quota.settle(demand, self._verdict, changes)

    def _count(self, texts: int, tokens: int, *, failed: bool) -> None:
        caller = self._caller
        if caller.label:
            requests, of_texts, of_tokens = self._till.counters(caller.label)
            if failed:
                self._till.metrics.key_requests.labels(caller.label, "error").inc()
            else:
                requests.inc()
            of_texts.inc(texts)
            of_tokens.inc(tokens)
        if self._till.tally is not None:
            self._till.tally.add(
                caller.name,
                self._model.name,
                texts=texts,
                tokens=tokens,
                errors=int(failed),
                cached=self._cached,
            )

    def _refused(self) -> None:
        caller = self._caller
        if caller.label:
            self._till.metrics.key_requests.labels(caller.label, "limited").inc()
        if self._till.tally is not None:
            self._till.tally.add(caller.name, self._model.name, requests=0, limited=1)
