"""Our errors for what engines complain of; each message is ours and names the cure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from embedway_upstream.engines.complaint import complaint
from embedway_upstream.engines.status import from_status, retry_after
from embedway_upstream.error import (
    BatchTooLarge,
    EmbeddingError,
    InputTooLong,
    InvalidRequest,
    RateLimited,
    UpstreamDefect,
    UpstreamFailed,
    UpstreamRefused,
)

__all__ = ["Finding", "Rule", "Verdict", "judge"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What may be taken from an engine's error: numbers, and a classification for the log."""

    detail: str
    limit: int | None = None
    wait: float | None = None


Verdict: TypeAlias = Callable[[Finding], EmbeddingError]


@dataclass(frozen=True, slots=True)
class Rule:
    """
    When a verdict holds: all that is given must match. `says` is searched in the text, without
    regard to case, and its group `limit` is the number that the engine names.
    """

    verdict: Verdict
    says: str = ""
    kind: str = ""
    statuses: frozenset[int] = frozenset()

    def finding(
        self, status: int, headers: Mapping[str, str], text: str, kinds: frozenset[str]
    ) -> Finding | None:
        """What the rule found, or None where it does not hold."""
        found = re.search(self.says, text, re.IGNORECASE | re.ASCII)
        told = not self.statuses or status in self.statuses
        if found is None or not told or (self.kind and self.kind not in kinds):
            return None
        limit = found.groupdict().get("limit")
        return Finding(
            f"status {status}: {self.verdict.__name__}",
            limit=None if limit is None else int(limit[:9]),
            wait=retry_after(headers),
        )


def judge(
    rules: Iterable[Rule], status: int, headers: Mapping[str, str], body: bytes
) -> EmbeddingError:
    """The verdict of the first rule that holds, else what the status alone stands for."""
    said = complaint(body)
    for rule in rules:
        finding = rule.finding(status, headers, said.text, said.kinds)
        if finding is not None:
            return rule.verdict(finding)
    return from_status(status, headers)


def too_many(found: Finding) -> EmbeddingError:
    most = "" if found.limit is None else f" ({found.limit})"
    return BatchTooLarge(
        f"the request has more texts than the upstream takes at once{most}",
        limit=found.limit,
        detail=found.detail,
    )


def too_large(found: Finding) -> EmbeddingError:
    return BatchTooLarge(
        "the texts together are more than the upstream takes at once", detail=found.detail
    )


def too_long(found: Finding) -> EmbeddingError:
    most = "" if found.limit is None else f" ({found.limit} tokens)"
    return InputTooLong(
        f"a text is longer than the upstream's model takes{most}",
        limit=found.limit,
        detail=found.detail,
    )


def empty(found: Finding) -> EmbeddingError:
    return InvalidRequest("the upstream takes no empty text and no empty list", detail=found.detail)


def unreadable(found: Finding) -> EmbeddingError:
    return InvalidRequest("the upstream's tokenizer cannot read a text", detail=found.detail)


def invalid(found: Finding) -> EmbeddingError:
    return InvalidRequest("the upstream refuses the request as invalid", detail=found.detail)


def wrong_size(found: Finding) -> EmbeddingError:
    return InvalidRequest(
        "the upstream's model does not give these dimensions",
        param="dimensions",
        detail=found.detail,
    )


def unknown_model(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream serves no model of this name; set `model:` of the upstream to the name "
        "under which it serves it",
        detail=found.detail,
    )


def unable(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream's model cannot do this; `url:` of the upstream names a model of another "
        "kind, or `engine:` another server",
        detail=found.detail,
    )


def no_route(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream has no such route; check `engine:`, `url:` and `path:` of the upstream, its "
        "version, and that its model is of the right kind",
        detail=found.detail,
    )


def no_key(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream refuses the gateway's credentials; check `credentials:` of the upstream",
        detail=found.detail,
    )


def misunderstood(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream does not understand the gateway's request; check `engine:` of the upstream, "
        "and its version",
        detail=found.detail,
    )


def misconfigured(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream was started with options that do not fit its model", detail=found.detail
    )


def per_token(found: Finding) -> EmbeddingError:
    return UpstreamRefused(
        "the upstream's model gives a vector for every token and not for every text; it cannot "
        "serve as a text-embedding model unless it is deployed with pooling",
        detail=found.detail,
    )


def loading(found: Finding) -> EmbeddingError:
    return UpstreamFailed(
        "the upstream has not loaded its model yet", retry_after=found.wait, detail=found.detail
    )


def failed(found: Finding) -> EmbeddingError:
    return UpstreamFailed("the upstream failed", retry_after=found.wait, detail=found.detail)


def defect(found: Finding) -> EmbeddingError:
    return UpstreamDefect(
        "the upstream failed, and would fail on this request again", detail=found.detail
    )


def busy(found: Finding) -> EmbeddingError:
    return RateLimited(
        "the upstream asks to slow down", retry_after=found.wait, detail=found.detail
    )
