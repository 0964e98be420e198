"""Tells of an upstream that serves nothing because its vectors are of another space."""

from __future__ import annotations

import logging
import math

from embedway_gateway.layers.verdict import Verdict
from embedway_gateway.metric import Metrics

__all__ = ["Quarantine"]

_log = logging.getLogger("embedway.gateway")


class Quarantine:
    """One line in the log and one step of the gauge for each change; the reason for readiness."""

    def __init__(self, metrics: Metrics, *, model: str, upstream: str) -> None:
        self._model = model
        self._upstream = upstream
        self._agreement = metrics.agreement
        # 0 where nothing was told of the upstream before.
        self._quarantined = metrics.quarantined.labels(model, upstream)
        self._ended = False
        self.reason = ""
        """Why it is quarantined; empty when it is not."""

    def take(self, verdict: Verdict) -> None:
        """The newest comparison."""
        if self._ended:
            return
        self._agreement.labels(self._model, self._upstream).set(verdict.found.worst)
        before, self.reason = self.reason, verdict.reason
        self._quarantined.set(1 if self.reason else 0)
        if self.reason and not before:
            _log.warning(
                "%s: upstream %r is quarantined: %s", self._model, self._upstream, self.reason
            )
        elif before and not self.reason:
            _log.info("%s: upstream %r is released", self._model, self._upstream)

    def end(self, *, followed: bool) -> None:
        """Nothing more is told here; unless another follows the upstream, it is gone."""
        self._ended = True
        if not followed:
            self._quarantined.set(0)
            # What no cosine is, and of several workers never the smallest.
            self._agreement.labels(self._model, self._upstream).set(math.inf)
