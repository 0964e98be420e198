"""How the framework's two ways of observing are told the tokens that a server counted."""

from __future__ import annotations

from typing import Any

from llama_index.core.callbacks import CBEventType, EventPayload, TokenCountingHandler
from llama_index.core.callbacks.token_counting import TokenCountingEvent
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent

from embedway_upstream import Usage

__all__ = ["EmbeddingUsageEvent", "TokenUsage", "counts"]


class EmbeddingUsageEvent(EmbeddingEndEvent):
    """
    The end of an embedding, with its usage: `prompt_tokens` and `total_tokens`, as the server
    counted them; 0 where the cache had everything.
    """

    usage: dict[str, int]


class TokenUsage(TokenCountingHandler):
    """
    A `TokenCountingHandler` that takes the server's count for embeddings, where there is one.

    The framework's own counts embeddings with the tokenizer of a language model, and texts that
    came from a cache too. One event stands for one batch.
    """

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **kwargs: Any,
    ) -> None:
        """Count the tokens of a call to a language model, or of a batch that was embedded."""
        more = (payload or {}).get(EventPayload.ADDITIONAL_KWARGS) or {}
        ignored = event_type in self.event_ends_to_ignore
        if event_type != CBEventType.EMBEDDING or "usage" not in more or ignored:
            super().on_event_end(event_type, payload, event_id, **kwargs)
            return
        assert payload is not None
        tokens = more["usage"]["prompt_tokens"]
        self.embedding_token_counts.append(
            TokenCountingEvent(
                event_id=event_id,
                prompt="\n".join(payload.get(EventPayload.CHUNKS, [])),
                prompt_token_count=tokens,
                completion="",
                completion_token_count=0,
            )
        )
        if self._verbose:
            self._print(f"Embedding Token Usage: {tokens}")


def counts(usage: Usage) -> dict[str, int]:
    """In the words of OpenAI's API."""
    return {"prompt_tokens": usage.prompt_tokens, "total_tokens": usage.total_tokens}
